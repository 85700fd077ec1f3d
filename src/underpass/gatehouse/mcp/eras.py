"""Which of the three transports of the Model Context Protocol an exchange belongs to. Pure.

    2024-11-05                  GET opens an event stream whose first event names the POST path
    2025-03-26 … 2025-11-25     one path, an ``initialize`` handshake, sessions by header
    2026-07-28 and later        one path, POST only, every request stands alone

What differs for whoever stands between: in the last, a visitor who hangs up has cancelled; in the
middle, it has not; in the first, its session ends.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from underpass.http.jsonrpc import carries_jsonrpc
from underpass.http.messages import RequestHead, lookup

FIRST_STATELESS: Final = b"2026-07-28"
# Versions are dates: they compare as text.


class Era(StrEnum):
    """One transport."""

    EVENTS = "2024-11-05"
    SESSIONS = "2025"
    STATELESS = "2026"


def era_of(head: RequestHead) -> Era | None:
    """The era that a request's head shows; None for one that is none of MCP's, or does not say.

    A POST without a version is the middle era's ``initialize``, or a message of the oldest: both
    are told apart by their path, which only the server knows.
    """
    version = lookup(head.headers, b"mcp-protocol-version")
    if version is not None:
        return Era.STATELESS if version.strip() >= FIRST_STATELESS else Era.SESSIONS
    if lookup(head.headers, b"mcp-session-id") is not None or carries_jsonrpc(head):
        return Era.SESSIONS
    accept = lookup(head.headers, b"accept") or b""
    if head.method == b"GET" and b"text/event-stream" in accept.lower():
        return Era.EVENTS
    return None
