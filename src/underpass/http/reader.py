"""Strict reading of HTTP/1.1 and 1.0: bytes in, structured events out, no I/O.

One reader serves one direction of one connection. Events come in order: a head, parts of its body,
``EndOfMessage``; ``Malformed`` ends everything. Memory is bounded by ``Limits`` whatever arrives.
Heads are judged in ``request_head`` and ``response_head``, chunks in ``chunks``.
"""

from __future__ import annotations

from underpass.http.head import Limits
from underpass.http.messages import (
    EndOfMessage,
    Malformed,
    RequestEvent,
    RequestHead,
    ResponseEvent,
    ResponseHead,
)
from underpass.http.request_reader import RequestReader
from underpass.http.response_reader import ResponseReader

__all__ = [
    "EndOfMessage",
    "Limits",
    "Malformed",
    "RequestEvent",
    "RequestHead",
    "RequestReader",
    "ResponseEvent",
    "ResponseHead",
    "ResponseReader",
]
