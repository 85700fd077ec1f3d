"""Our own answers: which status and code for which situation, and how clients are told.

Never 404, 405 or 400 for an absence: MCP clients drop sessions or fall back to old transports on
those. Every answer carries ``Underpass-Error: <code>``; a JSON-RPC request gets a JSON-RPC error
with its own id besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from underpass.http.messages import Headers, Malformed, ResponseHead

NOT_JSONRPC: Final = b""
"""As ``jsonrpc_id``: the request was no JSON-RPC."""
NULL_ID: Final = b"null"
"""As ``jsonrpc_id``: JSON-RPC, but the id was not seen, or may not be told (401, 403)."""

JSONRPC_ERROR: Final = -32000
# The first of the range JSON-RPC 2.0 leaves to servers; MCP's SDKs read it as "connection closed".

_REASONS: Final = {
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of ours."""

    status: int
    code: str
    """Stable, kebab-case: the value of ``Underpass-Error``."""
    sentence: str
    """For people; without any byte of the request."""
    retry_after: int | None = None
    """Seconds, when coming back may help."""
    closes: bool = False
    """Whether the visitor's connection must end after it: what follows cannot be trusted."""


_ROWS: Final = (
    Answer(503, "no-such-tunnel", "there is no such tunnel here, or it is closed", 10),
    Answer(503, "connector-away", "the tunnel's owner is not connected", 5),
    Answer(503, "lane-lost", "the tunnel was interrupted before it could answer", 1),
    Answer(503, "relay-draining", "the relay is about to restart", 1),
    Answer(503, "origin-away", "the service behind the tunnel does not answer", 2),
    Answer(502, "origin-malformed", "the service behind the tunnel answered no valid HTTP"),
    Answer(502, "origin-incomplete", "the service behind the tunnel broke its answer off"),
    Answer(503, "lease-expired", "the tunnel's lease has ended"),
    Answer(503, "over-limit", "too much is going on here at once", 1),
    Answer(429, "too-many-requests", "too many requests", 1),
    Answer(401, "gate-unauthenticated", "this tunnel asks for a credential"),
    Answer(403, "gate-refused", "this tunnel does not admit you"),
    Answer(421, "host-misdirected", "this host is not served here"),
    Answer(408, "request-late", "the request took too long to arrive", closes=True),
    Answer(413, "body-too-large", "the body is too large", closes=True),
    Answer(414, "target-too-long", "the request target is too long", closes=True),
    Answer(431, "head-too-large", "the request head is too large", closes=True),
    Answer(400, "request-malformed", "this is no valid HTTP request", closes=True),
    Answer(400, "request-ambiguous", "this request could be read in two ways", closes=True),
    Answer(400, "request-incomplete", "the request was cut off", closes=True),
    Answer(400, "body-malformed", "the body's framing is not valid", closes=True),
    Answer(400, "upgrade-impatient", "too many bytes came before the answer", closes=True),
    Answer(417, "expectation-unknown", "only 100-continue can be expected", closes=True),
    Answer(501, "coding-unsupported", "only the chunked coding is understood", closes=True),
    Answer(501, "method-unsupported", "this method is not carried here", closes=True),
    Answer(505, "version-unsupported", "only HTTP/1.1 and 1.0 are spoken here", closes=True),
)

TABLE: Final = {row.code: row for row in _ROWS}
"""All our answers by code."""

_OTHERWISE: Final = Answer(503, "unavailable", "the tunnel cannot answer now", 1)


def answer(code: str) -> Answer:
    """The answer for ``code``. A code of a newer peer, which this table does not know, becomes
    a plain 503 ``unavailable``."""
    return TABLE.get(code, _OTHERWISE)


def answer_malformed(malformed: Malformed) -> Answer:
    """The answer to a request that a reader refused."""
    return TABLE.get(malformed.code) or Answer(
        malformed.status, malformed.code, "this is no valid HTTP request", closes=True
    )


def render(
    answer: Answer, *, jsonrpc_id: bytes = NOT_JSONRPC, extra: Headers | None = None
) -> tuple[ResponseHead, bytes]:
    """The head and the whole body of ``answer``; ``extra`` are fields like a gate's challenge."""
    if jsonrpc_id == NOT_JSONRPC:
        kind = b"text/plain; charset=utf-8"
        body = answer.sentence.encode() + b"\n"
    else:
        kind = b"application/json"
        body = _jsonrpc_error(answer, NULL_ID if answer.status in (401, 403) else jsonrpc_id)
    headers: Headers = [
        (b"Content-Type", kind),
        (b"Cache-Control", b"no-store"),
        (b"Underpass-Error", answer.code.encode()),
    ]
    if answer.retry_after is not None:
        headers.append((b"Retry-After", b"%d" % answer.retry_after))
    if extra:
        headers += extra
    reason = _REASONS.get(answer.status, b"Error")
    return ResponseHead(answer.status, reason, headers, len(body)), body


def _jsonrpc_error(answer: Answer, jsonrpc_id: bytes) -> bytes:
    return msgspec.json.encode(
        {
            "jsonrpc": "2.0",
            "id": msgspec.Raw(jsonrpc_id),
            "error": {
                "code": JSONRPC_ERROR,
                "message": answer.sentence,
                "data": {"code": answer.code, "retryable": answer.retry_after is not None},
            },
        }
    )
