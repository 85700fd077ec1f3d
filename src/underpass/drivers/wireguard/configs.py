"""From a topology and its keys to what one host's device should be, and to a file for wg-quick."""

from __future__ import annotations

from collections.abc import Mapping

from underpass.drivers.wireguard.device import WantedDevice, WantedPeer
from underpass.drivers.wireguard.keys import Keyring
from underpass.drivers.wireguard.topology import Endpoint, Topology


def wanted_device(
    topology: Topology,
    keyring: Keyring,
    name: str,
    *,
    resolved: Mapping[str, Endpoint] | None = None,
    listen: int | None = None,
) -> WantedDevice:
    """What the device of ``name`` should be.

    ``resolved`` has endpoints with addresses in the place of names; one that is not there is left
    out. Without it endpoints stay as they are written. Raises what ``Keyring`` does.
    """
    host = topology.host(name)
    peers = []
    for other in topology.neighbours(name):
        far = topology.hosts[other]
        keys = keyring.public(other)
        endpoint = far.endpoint if resolved is None else resolved.get(other)
        peers.append(
            WantedPeer(
                other,
                keys.current,
                frozenset(
                    f"{each.address}/{each.address.max_prefixlen}"
                    for each in topology.reached_by(name, other)
                ),
                keys.following,
                keys.former,
                endpoint,
                topology.keepalive if far.endpoint is not None else 0,
                keyring.preshared(name, other),
            )
        )
    port = host.listen if listen is None else listen
    return WantedDevice(keyring.private(name), port, tuple(peers))


def wg_quick_file(topology: Topology, name: str, device: WantedDevice) -> str:
    """A file for ``wg-quick up``. It holds the private key, and no command: a line like PostUp
    would run as root."""
    host = topology.host(name)
    lines = [
        "[Interface]",
        f"# {name}, of the network {topology.name}",
        f"Address = {host.address}/{topology.subnet.prefixlen}",
        f"MTU = {topology.mtu}",
        f"PrivateKey = {device.private_key.reveal()}",
    ]
    if device.listen:
        lines.append(f"ListenPort = {device.listen}")
    for peer in device.peers:
        lines += ["", "[Peer]", f"# {peer.host}", f"PublicKey = {peer.key}"]
        lines += _peer_lines(peer.allowed, peer.endpoint, peer.keepalive or None)
        if peer.preshared is not None:
            lines.append(f"PresharedKey = {peer.preshared.reveal()}")
    return "\n".join([*lines, ""])


def _peer_lines(
    allowed: frozenset[str], endpoint: Endpoint | None, keepalive: int | None
) -> list[str]:
    lines = []
    if allowed:
        lines.append("AllowedIPs = " + ", ".join(sorted(allowed)))
    if endpoint is not None:
        lines.append(f"Endpoint = {endpoint}")
    if keepalive is not None:
        lines.append(f"PersistentKeepalive = {keepalive}")
    return lines
