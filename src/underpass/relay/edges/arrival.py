"""How a visitor came in: what the door knows before the first byte is understood."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from underpass.model.loopback import is_loopback
from underpass.relay.edges.addresses import SourceCap, plain_address
from underpass.relay.edges.ports import Peer


@dataclass(frozen=True, slots=True)
class Arrival:
    """Facts of one connection that hold until it ends."""

    peer: Peer
    """The visitor, as the socket or a trusted PROXY header says."""
    server_name: str | None = None
    """The name in the ClientHello ("" if it had none); None: no TLS ends here."""
    certificate: bytes = b""
    """SHA-256 of the leaf certificate that was served; empty without TLS."""
    counted: str = ""
    """The address counted against the cap of its source, to be given back at the end; or ""."""
    on_loopback: bool = False
    """Both ends are on this machine's loopback: plain links are allowed only there."""

    @property
    def secure(self) -> bool:
        """The visitor's TLS ended at this door."""
        return self.server_name is not None


def arrive(transport: asyncio.BaseTransport, sources: SourceCap) -> Arrival | None:
    """Who came over a plain connection; None if its source already holds all it may."""
    name = transport.get_extra_info("peername")
    if not name:  # already gone
        return None
    address = plain_address(name[0])
    if not sources.take(address):
        return None
    local = transport.get_extra_info("sockname")
    return Arrival(
        (address, name[1]),
        counted=address,
        on_loopback=is_loopback(address) and bool(local) and is_loopback(plain_address(local[0])),
    )
