"""Our own relay as an engine: a connector that carries one tunnel."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.drivers.base import ByteWire, LinkPhase, LinkView, Opened
from underpass.gatehouse.ports import Carrier
from underpass.guard.secrets import Secret
from underpass.model.errors import UnderpassError
from underpass.model.spec import TunnelSpec
from underpass.relay.connector.address import RelayAddress
from underpass.relay.connector.connector import Connector
from underpass.relay.connector.dial import Dialler, Doorway
from underpass.relay.connector.reach import Reacher
from underpass.relay.links.websocket import LINK_PATH
from underpass.relay.protocol.frames import ALPN_LINK, LINK_MAGIC
from underpass.relay.protocol.records import Terms

LINKS: Final = Doorway(LINK_MAGIC, ALPN_LINK, LINK_PATH)


class RelayEngine:
    """Carries one tunnel over one relay.

    ``commitment`` is the hash of the guard in front of the origin; ``enrol_token`` reads the
    relay's enrolment token when the relay does not know the key.
    """

    def __init__(
        self,
        address: RelayAddress,
        key: Ed25519PrivateKey,
        *,
        commitment: bytes,
        enrol_token: Callable[[], str] | None = None,
    ) -> None:
        self._address = address
        self._key = key
        self._commitment = commitment
        self._enrol_token = enrol_token
        self._connector: Connector | None = None
        self._listeners: list[Callable[[LinkView], None]] = []
        self._view = LinkView(LinkPhase.DIALLING)

    @property
    def name(self) -> str:
        """The engine's word."""
        return "relay"

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        """Link to the relay and claim the name. Raises what the relay refused with."""
        connector = Connector(
            dialler=Dialler(self._address, LINKS),
            key=self._key,
            carrier=carrier,
            terms=self._terms(spec),
            name=spec.name,
            enrol_token=self._enrol_token,
            on_links=self._links_changed,
            on_ended=self._ended,
        )
        welcome = await connector.open()
        self._connector = connector
        return Opened(public_url=welcome.public_url, name=welcome.name, lease_end=welcome.lease_end)

    def observe(self, listener: Callable[[LinkView], None]) -> LinkView:
        """Call ``listener`` with every change from now on; returns the present view."""
        self._listeners.append(listener)
        return self._view

    async def renew(self, lease_end: float) -> float:
        """Move the lease's end; returns the end the relay granted."""
        if self._connector is None:
            raise RuntimeError("renew before open")
        return await self._connector.renew(lease_end)

    async def close(self) -> None:
        """Tell the relay, and let go of everything. Idempotent."""
        connector, self._connector = self._connector, None
        if connector is not None:
            with suppress(TimeoutError):
                await connector.close()

    async def dial_reach(self, token: str) -> ByteWire:
        """Reach the tunnel from outside, showing ``token``."""
        name = "" if self._connector is None else self._connector.name
        return await Reacher(self._address, name, Secret(token)).dial()

    def _terms(self, spec: TunnelSpec) -> Terms:
        lease = spec.lease
        return Terms(
            kind=str(spec.kind),
            tls=spec.tls,
            exposure=spec.exposure,
            gates=self._commitment,
            allow=spec.cidrs,
            lease_end=time.time() + lease.seconds,
            owner=lease.owner,
            purpose=lease.purpose,
        )

    def _links_changed(self, attached: int) -> None:
        phase = LinkPhase.ATTACHED if attached else LinkPhase.LOST
        self._say(LinkView(phase, code="" if attached else "link-lost"))

    def _ended(self, error: UnderpassError) -> None:
        self._say(LinkView(LinkPhase.ENDED, code=error.code, detail=error.message))

    def _say(self, view: LinkView) -> None:
        if view != self._view:
            self._view = view
            for listener in self._listeners:
                listener(view)
