"""How one host's peers are, looked at again and again: probes, counters, findings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from underpass.drivers.wireguard.device import Device, Peer, WantedPeer, active_key
from underpass.drivers.wireguard.health import Code, Facts, Finding, OuterPath, judge
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.probes import Pinger, try_path
from underpass.drivers.wireguard.topology import Address

PROBE_SECONDS: Final = 1.0
PATH_SECONDS: Final = 1.0
PATH_AGAIN_SECONDS: Final = 3.0
"""How long what the outer path said is believed."""

REJECTED_SECONDS: Final = 15.0
# Handshakes are tried again each 5 s: three of them.


@dataclass(slots=True)
class _Seen:
    """What was seen of one peer, by the clock of the loop."""

    received: int = 0
    received_at: float | None = None
    answered_at: float | None = None
    asked_since: float | None = None
    rejected_at: float | None = None
    path: OuterPath = OuterPath.UNTRIED
    path_at: float = 0.0


@dataclass(slots=True)
class Watch:
    """Looks at the peers of one device. ``close`` it in the end."""

    place: Place
    version: int
    """Of IP inside the tunnel."""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _pinger: Pinger | None = None

    def begin(self, device: Device, peers: Iterable[WantedPeer]) -> None:
        """What the counters of ``device`` say already is no news."""
        for peer in peers:
            known = device.peers.get(active_key(device, peer))
            if known is not None:
                self._seen.setdefault(peer.host, _Seen()).received = known.received

    async def look(
        self, device: Device, peers: Iterable[WantedPeer], addresses: Mapping[str, Address]
    ) -> dict[str, Finding]:
        """Ask each peer's host once, and judge: findings by host. Takes a second or two."""
        wanted = list(peers)
        if self._pinger is None:
            self._pinger = Pinger(self.place, self.version)
        findings = await asyncio.gather(
            *(self._look_at(device, peer, str(addresses[peer.host])) for peer in wanted)
        )
        return {peer.host: finding for peer, finding in zip(wanted, findings, strict=True)}

    def rejected(self, address: str, device: Device, peers: Iterable[WantedPeer]) -> None:
        """The device was called from ``address`` by somebody whose key it does not know, or with
        what only another key than its own could open; "" for an unknown address."""
        now = asyncio.get_running_loop().time()
        for peer in peers:
            known = device.peers.get(active_key(device, peer))
            places = {each.host for each in (peer.endpoint, known and known.endpoint) if each}
            if address in places or (not address and (known is None or not known.last_handshake)):
                self._seen.setdefault(peer.host, _Seen()).rejected_at = now

    def close(self) -> None:
        """Ask nobody any more. Idempotent."""
        if self._pinger is not None:
            self._pinger.close()
            self._pinger = None

    async def _look_at(self, device: Device, peer: WantedPeer, address: str) -> Finding:
        assert self._pinger is not None
        seen = self._seen.setdefault(peer.host, _Seen())
        known = device.peers.get(active_key(device, peer)) or Peer(peer.key)
        loop = asyncio.get_running_loop()
        if known.received != seen.received:
            if known.received > seen.received:
                seen.received_at = loop.time()
            seen.received = known.received
        asked_at = loop.time()
        if await self._pinger.ping(address, PROBE_SECONDS):
            seen.answered_at, seen.asked_since, seen.rejected_at = loop.time(), None, None
        elif seen.asked_since is None:
            seen.asked_since = asked_at
        endpoint = known.endpoint or peer.endpoint
        finding = judge(self._facts(seen, known, has_endpoint=endpoint is not None))
        doubtful = not finding.is_live and finding.code not in (Code.WAITING, Code.SHAKING)
        if doubtful and endpoint is not None:
            if loop.time() - seen.path_at > PATH_AGAIN_SECONDS:
                seen.path = await try_path(self.place, endpoint.host, endpoint.port, PATH_SECONDS)
                seen.path_at = loop.time()
            finding = judge(self._facts(seen, known, has_endpoint=True))
        elif finding.is_live:
            seen.path = OuterPath.UNTRIED
        return finding

    def _facts(self, seen: _Seen, known: Peer, *, has_endpoint: bool) -> Facts:
        now = asyncio.get_running_loop().time()

        def age(at: float | None) -> float | None:
            return None if at is None else now - at

        is_rejected = seen.rejected_at is not None and now - seen.rejected_at < REJECTED_SECONDS
        return Facts(
            max(0.0, time.time() - known.last_handshake) if known.last_handshake else None,
            age(seen.answered_at),
            age(seen.received_at),
            age(seen.asked_since) or 0.0,
            has_endpoint,
            seen.path,
            is_rejected,
        )
