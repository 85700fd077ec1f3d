"""Whether a node may have HTTPS and a funnel. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs, urlsplit

from underpass.drivers.observations import Refusal
from underpass.drivers.tailscale.serving import Wanted
from underpass.drivers.tailscale.state import Status

FUNNEL: Final = "funnel"
FUNNEL_PORTS: Final = "https://tailscale.com/cap/funnel-ports"


def why_not_public(status: Status, wanted: Wanted) -> Refusal | None:
    """Why this node cannot have what is ``wanted``; None when it can, or nothing special is."""
    if wanted.https and status.me.name not in (status.cert_domains or ()):
        detail = "HTTPS is not switched on in this tailnet"
        return Refusal("https-off", detail, "switch it on: admin console, DNS page", fatal=True)
    if not wanted.funnel:
        return None
    capabilities = {*(status.me.cap_map or ()), *(status.me.capabilities or ())}
    if FUNNEL not in capabilities:
        hint = 'add the node attribute "funnel" to the tailnet\'s policy'
        return Refusal("funnel-off", "this node may not have a funnel", hint, fatal=True)
    allowed = funnel_ports(capabilities)
    if allowed and wanted.port not in allowed:
        ports = ", ".join(map(str, sorted(allowed)))
        detail = f"port {wanted.port} may not have a funnel here: {ports} may"
        return Refusal("funnel-port", detail, "choose one: --engine-option port=N", fatal=True)
    return None


def funnel_ports(capabilities: Iterable[str]) -> frozenset[int]:
    """The ports that may have a funnel, as a capability names them; none named: empty."""
    ports: set[int] = set()
    for each in capabilities:
        if each.startswith(FUNNEL_PORTS):
            for part in ",".join(parse_qs(urlsplit(each).query).get("ports", [])).split(","):
                first, _, last = part.partition("-")
                if first.isdigit() and (last or first).isdigit():
                    ports.update(range(int(first), min(int(last or first), 65_535) + 1))
    return frozenset(ports)
