"""What ngrok's edge is asked to do with visitors before they come here: its traffic policy. Pure.

Two things. It tells each visitor's address in a header of ours beside one whose value nobody but
the owner and ngrok knows, after removing what a visitor sent under those names. And, where the user
wants it, it refuses addresses that the ``ip`` gate would refuse here. The gatehouse judges all of
it again; nothing is left to the edge alone.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from underpass.drivers.plans import Vouching
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

ADDRESS_HEADER: Final = "underpass-visitor"
SECRET_HEADER: Final = "underpass-vouch"
# The gatehouse takes every header that begins so away before the origin.

Policy = dict[str, list[dict[str, Any]]]


def forge_vouch(token: Secret, place: str) -> Secret:
    """The secret beside an address, for the tunnel at ``place``: known to those who know the
    account's token, and to nobody else."""
    key = token.reveal().encode()
    return Secret(hmac.new(key, f"underpass-vouch {place}".encode(), hashlib.sha256).hexdigest())


def vouching_by(vouch: Secret) -> Vouching:
    """How the gatehouse believes what the policy tells it."""
    return Vouching(ADDRESS_HEADER.encode(), secret_header=SECRET_HEADER.encode(), secret=vouch)


def write_policy(spec: TunnelSpec, *, vouch: Secret | None, edge_gates: bool) -> Policy:
    """The policy for one tunnel; {} when there is nothing to ask: of bytes the edge can tell us
    nothing, and the ``ip`` gate is refused for them."""
    rules = []
    if spec.kind is Kind.TCP or spec.tls == "passthrough":
        return {}
    if edge_gates and spec.cidrs:
        restrict = {"enforce": True, "allow": list(spec.cidrs)}
        rules.append({"actions": [{"type": "restrict-ips", "config": restrict}]})
    if vouch is not None:
        ours = {ADDRESS_HEADER: "${conn.client_ip}", SECRET_HEADER: vouch.reveal()}
        actions: list[dict[str, Any]] = [
            {"type": "remove-headers", "config": {"headers": list(ours)}},
            {"type": "add-headers", "config": {"headers": ours}},
        ]
        rules.append({"actions": actions})
    return {"on_http_request": rules} if rules else {}
