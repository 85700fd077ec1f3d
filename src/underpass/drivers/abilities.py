"""What an engine can carry at all, and the refusal of a spec that asks for more: pure.

Every driver's ``plan`` calls ``refuse_unsupported`` first, so that a gate which an engine cannot
support is refused in one place and in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

from underpass.drivers.errors import EngineCannot
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one engine can do, with the options it was given."""

    http: bool = True
    tcp: bool = False
    addresses: bool = False
    """It tells visitors' addresses over HTTP so that they may be believed (``Vouching``)."""
    tcp_addresses: bool = False
    """The same for byte streams."""
    reach: bool = False
    """Gated tcp tunnels can be met by ``underpass reach``."""
    passthrough: bool = False
    """Visitors' TLS can pass it unopened."""
    names: bool = True
    """It can be asked for a name."""


def refuse_unsupported(engine: str, spec: TunnelSpec, can: Abilities) -> None:
    """Raise ``EngineCannot`` for the first thing that ``spec`` asks and the engine cannot."""

    def refuse(what: str, why: str) -> None:
        raise EngineCannot(engine=engine, what=what, why=why)

    is_tcp = spec.kind is Kind.TCP
    if is_tcp and not can.tcp:
        refuse("a tcp origin", "it carries HTTP only")
    if not is_tcp and not can.http:
        refuse("an HTTP origin", "it carries byte streams only")
    asks_address = any(gate.kind == "ip" for gate in spec.every_gate)
    if asks_address and not (can.tcp_addresses if is_tcp else can.addresses):
        refuse("the ip gate", "nobody believable tells where its visitors come from")
    if is_tcp and spec.exposure == "gated" and not can.reach:
        refuse(
            "a bearer gate on a tcp tunnel",
            "a byte stream shows its token by underpass reach, which needs our relay",
        )
    if spec.tls == "passthrough" and not can.passthrough:
        refuse("--tls passthrough", "it ends visitors' TLS itself, or has none")
    if spec.name and not can.names:
        refuse("--name", "it gives names as it likes")
