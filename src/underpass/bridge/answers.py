"""The bridge's own answers: few, and never 404, 405 or 400 for an absence."""

from __future__ import annotations

import json
from typing import Any

from mcp_types import ErrorData, JSONRPCError, RequestId
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from underpass.bridge.pump import ENDED, ended


async def answer_ended(scope: Scope, receive: Receive, send: Send) -> None:
    """503: the program could not be started, or ended."""
    message = ended(await _id_of(Request(scope, receive)))
    await respond(503, message, retry=True)(scope, receive, send)


async def answer_full(scope: Scope, receive: Receive, send: Send) -> None:
    """503: every place is in use."""
    request_id = await _id_of(Request(scope, receive))
    data = {"code": "over-limit", "retryable": True}
    error = ErrorData(code=ENDED, message="too many sessions are open", data=data)
    message = JSONRPCError(jsonrpc="2.0", id=request_id, error=error)
    await respond(503, message, retry=True)(scope, receive, send)


async def answer_unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """404, by which a client knows that it must begin another session."""
    error = ErrorData(code=-32600, message="Session not found")
    await respond(404, JSONRPCError(jsonrpc="2.0", id=None, error=error))(scope, receive, send)


def respond(status: int, message: Any, *, retry: bool = False) -> Response:
    """One JSON-RPC message as a whole answer."""
    body = message.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(message, JSONRPCError):
        body["id"] = message.id  # null must be said
    return Response(
        json.dumps(body, separators=(",", ":")),
        status,
        headers={"Retry-After": "1"} if retry else None,
        media_type="application/json",
    )


async def _id_of(request: Request) -> RequestId | None:
    if request.method != "POST":
        return None
    try:
        found = json.loads(await request.body())["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, (int, str)) and not isinstance(found, bool) else None
