"""Whether one HTTP request may reach the origin, and as what: decided in synchronous steps.

The order is fixed: proofs (a valid MAC is the owner's own), pages of our own, preflights of allowed
pages (browsers send them without credentials), the gates, on mcp tunnels the allow-list of Host and
Origin, then the head as the origin shall see it, which judges every byte of it again. Nothing is
sent before all of it has passed, and one head is judged by all. A gate that cannot say at once
makes it two steps: ``admit`` tells what it waits for, and ``conclude`` goes on with the verdict
(``held``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final

from underpass.gatehouse.house import House
from underpass.gatehouse.own_answers import OwnAnswer, denied, over_quota, own_answer, preflight
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.proof import PROOF_HEADER_LOWER, ProofRequest
from underpass.gatehouse.rewrite import base_path, has_dot_segment, origin_host, rewrite
from underpass.guard.holds import Hold
from underpass.guard.outcomes import REFUSED, Deny, Later, NeedsBody, Pass
from underpass.http.errors import HeadInvalid
from underpass.http.jsonrpc import carries_jsonrpc
from underpass.http.messages import RequestHead, lookup
from underpass.model.origin import Kind


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may reach the origin."""

    request: bytes
    """The head as the origin shall see it."""
    is_jsonrpc: bool
    """An answer of ours must name the id that stands in its body."""
    target: bytes = b""
    """The target as the origin shall see it."""
    identity: str = ""
    """Who it is, as far as a gate knows (``Pass.identity``)."""
    strip: tuple[bytes, ...] = ()
    """The fields with the credential that passed (``Pass.strip``)."""
    until: float = inf
    """When what let it in ends (``Pass.until``)."""
    holds: tuple[Hold, ...] = ()
    """What may be taken back before (``Pass.holds``)."""


class OwnPage(Enum):
    """The request is for a page of ours: it is answered here, whatever the gates would say of one
    for the origin."""

    OWN_PAGE = auto()


OWN_PAGE: Final = OwnPage.OWN_PAGE


def admit(
    house: House, head: RequestHead, peer: Peer
) -> Admitted | OwnAnswer | OwnPage | ProofRequest | NeedsBody | Later:
    """Judge one request. What waits for a gate is to be concluded with that gate's verdict."""
    proof = _proof(house, head)
    if proof is not None:
        return proof
    if house.ends_tls and not (_is_ours(house, head.host) and _was_asked_for(peer, head.host)):
        return own_answer("host-misdirected")
    inner = house.inner
    if inner is not None and inner.takes(head.target):
        return _admit_to_own_page(house, head, is_admitted=inner.admits(peer.address))
    if house.cors is not None:
        answer = house.cors.preflight(head)
        if answer is not None:
            return preflight(answer)
    judged = house.guard.judge_http(head, peer)
    if isinstance(judged, (Pass, Deny)):
        return conclude(house, head, peer, judged)
    return judged


def conclude(
    house: House, head: RequestHead, peer: Peer, judged: Pass | Deny
) -> Admitted | OwnAnswer:
    """Go on with the verdict of the gates."""
    if isinstance(judged, Pass) and judged.is_over(house.wall_clock):
        judged = _judge_again(house, head, peer)
    if isinstance(judged, Deny):
        house.books.denied += 1
        return denied(judged)
    settings = house.settings
    host, origin_field = head.host, None
    if settings.host_header == "origin":
        host = origin_host(settings.origin)
        if settings.kind is Kind.MCP:
            refusal = _refuse_stranger(house, head)
            if refusal is not None:
                return refusal
            origin_field = b"http://" + host
    target = head.target if judged.target is None else judged.target
    base = base_path(settings.origin, settings.kind)
    if base and target != b"*":
        if has_dot_segment(target.partition(b"?")[0]):
            return own_answer("target-outside-base")
        target = base + target
    try:
        request = rewrite(
            head if house.mcp is None else house.mcp.ask(head, target),
            host=host,
            target=target if house.mcp is None else house.mcp.target(head, target),
            strip=judged.strip,
            origin_field=origin_field,
            address=peer.address,
            secure=peer.secure,
            identity=judged.identity if settings.tells_visitor else "",
        )
    except HeadInvalid as error:
        return own_answer(error.code)
    if house.observer is not None:
        over = house.observer.admit()
        if over is not None:
            return over_quota(over)
    is_jsonrpc = settings.kind is Kind.MCP and carries_jsonrpc(head)
    return Admitted(
        *(request, is_jsonrpc, target, judged.identity, judged.strip, judged.until, judged.holds)
    )


def _admit_to_own_page(
    house: House, head: RequestHead, *, is_admitted: bool
) -> OwnAnswer | OwnPage:
    """Where a visitor comes from and what it calls us counts for our own pages, too."""
    if head.host.lower() not in house.public_hosts:
        return own_answer("host-misdirected")
    if not is_admitted:
        house.books.denied += 1
        return denied(REFUSED)
    return OWN_PAGE


def _judge_again(house: House, head: RequestHead, peer: Peer) -> Deny:
    """What is said to a visitor whose pass has ended while another gate was waited for."""
    judged = house.guard.judge_http(head, peer)
    return judged if isinstance(judged, Deny) else REFUSED


def _proof(house: House, head: RequestHead) -> ProofRequest | None:
    for name, value in head.headers:
        if len(name) == len(PROOF_HEADER_LOWER) and name.lower() == PROOF_HEADER_LOWER:
            asked = house.proofs.accept(value, house.wall_clock())
            # The measuring origin is there for a measurement that is under way, for nobody else.
            is_idle = house.measuring is None and asked is not None and asked.measure
            return None if is_idle else asked
    return None


def _is_ours(house: House, host: bytes) -> bool:
    """Whether a Host names this tunnel, whatever the port. Where the visitor's TLS ends here, no
    edge has held Host against the server name that led the visitor to us."""
    name = host.lower().partition(b":")[0]
    return any(known.partition(b":")[0] == name for known in house.public_hosts)


def _was_asked_for(peer: Peer, host: bytes) -> bool:
    """Whether a Host is the name that TLS was asked for: what one name's certificate or session
    opened must not serve another. A visitor of a bare address names none."""
    asked = peer.server_name
    return asked is None or host.lower().partition(b":")[0] == asked.encode("ascii", "replace")


def _refuse_stranger(house: House, head: RequestHead) -> OwnAnswer | None:
    """Our own guard against DNS rebinding, in place of the one that the origin can no longer keep
    once its Host is rewritten."""
    if head.host.lower() not in house.public_hosts:
        return own_answer("host-misdirected")
    origin = lookup(head.headers, b"origin")
    if origin is not None and origin.lower() not in house.public_origins:
        if b"*" in house.public_origins and origin != b"null":
            return None
        return own_answer("origin-field-refused")
    return None
