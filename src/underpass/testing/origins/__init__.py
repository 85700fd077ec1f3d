"""Real origins to put behind a tunnel: small asyncio servers, each with one habit.

Each is an async context manager that listens on a loopback port of its own (`port`, `url`) and
ends everything it started when left.
"""

from __future__ import annotations

from underpass.testing.origins.http import HttpOrigin, SeenRequest, huge_part, huge_sha256
from underpass.testing.origins.tcp import HalfCloseRecorder, Refuser, TcpEcho, TlsOrigin
from underpass.testing.origins.websocket import WebSocketEcho

__all__ = [
    "HalfCloseRecorder",
    "HttpOrigin",
    "Refuser",
    "SeenRequest",
    "TcpEcho",
    "TlsOrigin",
    "WebSocketEcho",
    "huge_part",
    "huge_sha256",
]
