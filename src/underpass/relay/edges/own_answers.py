"""The edge's own answers as bytes."""

from __future__ import annotations

from underpass.http.answers import NOT_JSONRPC, Answer, render
from underpass.http.writer import response_bytes


def answer_bytes(
    answer: Answer,
    *,
    method: bytes = b"GET",
    http10: bool = False,
    keep_alive: bool = False,
    jsonrpc_id: bytes = NOT_JSONRPC,
) -> bytes:
    """Head and body, for a visitor that sent a ``method`` request."""
    head, body = render(answer, jsonrpc_id=jsonrpc_id)
    raw = response_bytes(
        head, method=method, http10=http10, keep_alive=keep_alive and not answer.closes
    )
    return raw if method == b"HEAD" else raw + body
