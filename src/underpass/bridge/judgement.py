"""What a request of 2026-07-28 must look like: judged by the official SDK's own rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
)
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
)
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from underpass.bridge.answers import respond


def judge(body: bytes, request: Request) -> JSONRPCRequest | Response:
    """The request, or the answer that refuses it, in the words of 2026-07-28."""
    try:
        decoded = json.loads(body)
        json.dumps(decoded, ensure_ascii=False).encode()  # half a surrogate pair cannot be told
    except (ValueError, RecursionError):
        return _refusal(None, PARSE_ERROR, "Parse error")
    if isinstance(decoded, dict) and "id" not in decoded:
        # The core defines no notification from clients here; those in the field get their 202.
        return Response(status_code=202)
    try:
        asked = JSONRPCRequest.model_validate(decoded)
    except ValidationError:
        return _refusal(None, INVALID_REQUEST, "Body must be a single JSON-RPC request")
    repeated = find_duplicated_routing_header(request.headers.items())
    if repeated is not None:
        return _refusal(asked.id, HEADER_MISMATCH, f"{repeated} header appears more than once")
    headers: Mapping[str, str] = dict(request.headers)
    judged = classify_inbound_request(decoded, headers=headers)
    if isinstance(judged, InboundLadderRejection):
        return _refusal(asked.id, judged.code, judged.message, judged.data)
    return asked


def _refusal(request_id: Any, code: int, message: str, data: Any = None) -> Response:
    error = ErrorData(code=code, message=message)
    if data is not None:
        error = ErrorData(code=code, message=message, data=data)
    status = ERROR_CODE_HTTP_STATUS.get(code, 200)
    return respond(status, JSONRPCError(jsonrpc="2.0", id=request_id, error=error))
