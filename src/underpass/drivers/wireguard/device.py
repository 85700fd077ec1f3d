"""A WireGuard device: what it is, what it should be, and the changes between the two. Pure.

Changes touch only the peers they name, so that the traffic of the others goes on. A host may be
known by several keys while one replaces another: the addresses belong to the key that shook hands
last, so that neither side has to be told when the other switches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from underpass.drivers.wireguard.topology import Endpoint
from underpass.guard.secrets import Secret


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer of a device, as the device tells it."""

    public_key: str
    endpoint: Endpoint | None = None
    allowed: frozenset[str] = frozenset()
    """Addresses with their prefix lengths: ``10.77.0.2/32``."""
    last_handshake: float = 0.0
    """Unix seconds; 0: never."""
    received: int = 0
    sent: int = 0
    keepalive: int = 0
    preshared: Secret | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A whole device, as it tells itself."""

    private_key: Secret | None = None
    listen: int = 0
    peers: dict[str, Peer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedPeer:
    """One host that a device should meet."""

    host: str
    key: str
    allowed: frozenset[str]
    following: tuple[str, ...] = ()
    """Keys that may take over."""
    former: tuple[str, ...] = ()
    """Keys that it took over from."""
    endpoint: Endpoint | None = None
    """Already an address: a device asks no name server."""
    keepalive: int = 0
    preshared: Secret | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys by which the host may be known."""
        return *self.following, self.key, *self.former


@dataclass(frozen=True, slots=True)
class WantedDevice:
    """What a device should be."""

    private_key: Secret
    listen: int
    """0: whatever it has."""
    peers: tuple[WantedPeer, ...]


@dataclass(frozen=True, slots=True)
class SetDevice:
    """Give the device another key or port. The sessions of its old key end."""

    private_key: Secret | None = None
    listen: int | None = None


@dataclass(frozen=True, slots=True)
class SetPeer:
    """Add a peer, or change it; None leaves a thing as it is."""

    public_key: str
    allowed: frozenset[str] | None = None
    """The whole of them; what another peer had of them moves here in the same step."""
    endpoint: Endpoint | None = None
    keepalive: int | None = None
    preshared: Secret | None = None


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """Forget a peer and its session."""

    public_key: str


Change = SetDevice | SetPeer | RemovePeer


def changes(device: Device, wanted: WantedDevice) -> list[Change]:
    """What makes ``device`` the wanted one, in this order; [] when it is."""
    found: list[Change] = []
    new_key = wanted.private_key != device.private_key
    new_port = wanted.listen not in (0, device.listen)
    if new_key or new_port:
        found.append(
            SetDevice(wanted.private_key if new_key else None, wanted.listen if new_port else None)
        )
    for peer in wanted.peers:
        active = active_key(device, peer)
        for key in peer.keys:
            change = _change(device.peers.get(key), key, peer, is_active=key == active)
            if change is not None:
                found.append(change)
        if new_key and active in device.peers:
            # From 0 to anything a keepalive goes out at once, and with it a handshake.
            found += [SetPeer(active, keepalive=each) for each in (0, 1, peer.keepalive)]
    known = {key for peer in wanted.peers for key in peer.keys}
    found += [RemovePeer(key) for key in device.peers if key not in known]
    return found


def active_key(device: Device, peer: WantedPeer) -> str:
    """The key that the peer's addresses belong to: of those that it may have, the one with the
    newest handshake; its current one when there is none."""
    shaken = [
        # A key that is to take over shakes hands only once it has: it wins within one second, too.
        (device.peers[key].last_handshake, -rank, key)
        for rank, key in enumerate(peer.keys)
        if key in device.peers and device.peers[key].last_handshake
    ]
    return max(shaken)[2] if shaken else peer.key


def _change(known: Peer | None, key: str, peer: WantedPeer, *, is_active: bool) -> SetPeer | None:
    allowed = peer.allowed if is_active else frozenset[str]()
    # A spare key is not called: until the switch its handshakes would only be refused.
    keepalive = peer.keepalive if is_active else 0
    if known is None:
        return SetPeer(key, allowed, peer.endpoint, keepalive, peer.preshared)
    change = SetPeer(
        key,
        allowed if known.allowed != allowed else None,
        # A peer that roams is where it was last heard.
        peer.endpoint if known.endpoint is None else None,
        keepalive if known.keepalive != keepalive else None,
        peer.preshared if known.preshared != peer.preshared else None,
    )
    return None if change == SetPeer(key) else change


def private_words(device: Device) -> Iterable[Secret]:
    """Every secret in it."""
    if device.private_key is not None:
        yield device.private_key
    yield from (peer.preshared for peer in device.peers.values() if peer.preshared)
