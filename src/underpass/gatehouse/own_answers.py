"""Answers that the gatehouse gives in the origin's place, beyond those every edge knows.

What clients make of a status is ``http.answers``' subject; this module knows which of them a
gatehouse says, and finds the JSON-RPC id only when an answer of ours is needed: a request that the
origin answers costs nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from underpass.guard.gates import Deny
from underpass.http.answers import NOT_JSONRPC, NULL_ID, TABLE, Answer, answer, render
from underpass.http.jsonrpc import IdScanner, carries_jsonrpc
from underpass.http.messages import Headers, RequestHead, ResponseHead
from underpass.model.origin import Kind
from underpass.observe.quota import OverQuota

ERROR_FIELD: Final = b"underpass-error"

_OWN: Final = {
    row.code: row
    for row in (
        # A plain 502: trying again does not help until the owner writes another origin.
        Answer(502, "origin-speaks-tls", "the service behind the tunnel wants TLS, not plain HTTP"),
        Answer(502, "own-control-port", "this tunnel may not lead to the tunnel's own controls"),
        Answer(403, "origin-field-refused", "pages of this web origin may not call this tunnel"),
        Answer(400, "target-outside-base", "the path may not hold dot segments here"),
        Answer(400, "path-ambiguous", "this path could be read in two ways, so no gate judges it"),
        Answer(429, "quota-reached", "this tunnel has carried as much as it may for now"),
        # No 401: it asks to come again, and the service may have been asked already.
        Answer(403, "admission-ended", "what let you in has ended before the answer came"),
        Answer(403, "admission-revoked", "what let you in was taken back before the answer came"),
        Answer(503, "gate-away", "nobody can say now whether you may pass", 2),
        Answer(400, "head-invalid", "this is no valid HTTP request", closes=True),
    )
}


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What we answer, and fields that go with it."""

    answer: Answer
    extra: Headers
    head: ResponseHead | None = None
    """A whole answer without a body that stands in place of the rendered one (a preflight's)."""
    gate: str | None = None
    """The kind of the gate that refused, "" where it is not known; None: no gate did."""


def own_answer(code: str, extra: Headers | None = None) -> OwnAnswer:
    """The answer for ``code``."""
    return OwnAnswer(_OWN.get(code) or answer(code), extra or [])


def denied(deny: Deny) -> OwnAnswer:
    """The answer to a visitor whom a gate refused."""
    if deny.status not in (401, 403):
        return replace(own_answer(deny.code, deny.challenge), gate=deny.gate)
    general = TABLE["gate-unauthenticated" if deny.status == 401 else "gate-refused"]
    answer = Answer(deny.status, deny.code, general.sentence)
    return OwnAnswer(answer, deny.challenge, gate=deny.gate)


def over_quota(over: OverQuota) -> OwnAnswer:
    """The answer to a visitor for whom the tunnel's quota has no room."""
    return own_answer("quota-reached", [(b"Retry-After", b"%d" % over.retry_after)])


def preflight(head: ResponseHead) -> OwnAnswer:
    """The answer to a page's preflight."""
    return OwnAnswer(Answer(head.status, "", ""), [], head)


def render_own(
    own: OwnAnswer, kind: Kind, head: RequestHead, body: list[bytes] | None
) -> tuple[ResponseHead, bytes]:
    """Head and body of the answer to ``head``; ``body`` is what has come of a JSON-RPC one."""
    if own.head is not None:
        return own.head, b""
    jsonrpc_id = NOT_JSONRPC
    if kind is Kind.MCP and carries_jsonrpc(head):
        jsonrpc_id = NULL_ID
        if body:
            scanner = IdScanner()
            for part in body:
                scanner.receive_data(part)
            jsonrpc_id = scanner.id
    answer_head, content = render(own.answer, jsonrpc_id=jsonrpc_id, extra=own.extra)
    return answer_head, b"" if head.method == b"HEAD" else content
