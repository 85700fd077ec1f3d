"""What is said to a device and heard from it: ``wg``'s words, and the userspace protocol. Pure.

Keys reach ``wg`` by files only, since its words are shown to everybody; over the userspace
protocol's socket they go in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from underpass.drivers.wireguard.device import Change, Device, Peer, RemovePeer, SetDevice, SetPeer
from underpass.drivers.wireguard.key_text import NO_KEY, encode, is_key, to_hex
from underpass.drivers.wireguard.topology import read_endpoint
from underpass.guard.secrets import Secret

MAX_PEERS = 4_096


def wg_words(changes: Iterable[Change], key_file: Callable[[Secret], str]) -> list[str]:
    """The words after ``wg set INTERFACE``; ``key_file`` gives the path of a file with a key."""
    words: list[str] = []
    for change in changes:
        if isinstance(change, SetDevice):
            if change.private_key is not None:
                words += ["private-key", key_file(change.private_key)]
            if change.listen is not None:
                words += ["listen-port", str(change.listen)]
        elif isinstance(change, RemovePeer):
            words += ["peer", change.public_key, "remove"]
        else:
            words += ["peer", change.public_key]
            if change.preshared is not None:
                words += ["preshared-key", key_file(change.preshared)]
            if change.endpoint is not None:
                words += ["endpoint", str(change.endpoint)]
            if change.keepalive is not None:
                words += ["persistent-keepalive", str(change.keepalive)]
            if change.allowed is not None:
                words += ["allowed-ips", ",".join(sorted(change.allowed))]
    return words


def uapi_set(changes: Iterable[Change]) -> str:
    """A whole ``set`` of the userspace protocol (wireguard.com/xplatform)."""
    lines = ["set=1"]
    for change in changes:
        if isinstance(change, SetDevice):
            if change.private_key is not None:
                lines.append(f"private_key={to_hex(change.private_key.reveal())}")
            if change.listen is not None:
                lines.append(f"listen_port={change.listen}")
            continue
        lines.append(f"public_key={to_hex(change.public_key)}")
        if isinstance(change, RemovePeer):
            lines.append("remove=true")
        else:
            lines += _uapi_peer(change)
    return "\n".join([*lines, "", ""])


def _uapi_peer(change: SetPeer) -> list[str]:
    lines = []
    if change.preshared is not None:
        lines.append(f"preshared_key={to_hex(change.preshared.reveal())}")
    if change.endpoint is not None:
        lines.append(f"endpoint={change.endpoint}")
    if change.keepalive is not None:
        lines.append(f"persistent_keepalive_interval={change.keepalive}")
    if change.allowed is not None:
        lines.append("replace_allowed_ips=true")
        lines += [f"allowed_ip={each}" for each in sorted(change.allowed)]
    return lines


def read_uapi(text: str) -> tuple[Device, int]:
    """A device and the error number of the answer to ``get=1``. What is not understood is left
    out."""
    device: dict[str, str] = {}
    peers: list[dict[str, list[str]]] = []
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if not equals:
            continue
        if key == "public_key" and len(peers) < MAX_PEERS:
            peers.append({})
        if peers:
            peers[-1].setdefault(key, []).append(value)
        if not peers or key == "errno":
            device[key] = value
    found = {}
    for fields in peers:
        first = {key: values[0] for key, values in fields.items()}
        key = _from_hex(first["public_key"])
        if key:
            found[key] = Peer(
                key,
                read_endpoint(first.get("endpoint", "")),
                frozenset(fields.get("allowed_ip", ())),
                _number(first.get("last_handshake_time_sec", "0")),
                _number(first.get("rx_bytes", "0")),
                _number(first.get("tx_bytes", "0")),
                _number(first.get("persistent_keepalive_interval", "0")),
                _secret(_from_hex(first.get("preshared_key", ""))),
            )
    private = _secret(_from_hex(device.get("private_key", "")))
    number = device.get("errno", "0")
    code = int(number) if number.removeprefix("-").isdigit() else 1
    return Device(private, _number(device.get("listen_port", "0")), found), code


def read_dump(lines: Iterable[str]) -> Device:
    """A device from ``wg show INTERFACE dump``: four fields of its own, eight for each peer."""
    private: Secret | None = None
    listen = 0
    found: dict[str, Peer] = {}
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 4:
            private, listen = _secret(fields[0]), _number(fields[2])
        elif len(fields) == 8 and is_key(fields[0]) and len(found) < MAX_PEERS:
            key, preshared, endpoint, allowed, handshake, received, sent, keepalive = fields
            found[key] = Peer(
                key,
                read_endpoint(endpoint),
                frozenset() if allowed == "(none)" else frozenset(allowed.split(",")),
                _number(handshake),
                _number(received),
                _number(sent),
                _number(keepalive),
                _secret(preshared),
            )
    return Device(private, listen, found)


def _secret(text: str) -> Secret | None:
    return Secret(text) if is_key(text) and text != NO_KEY else None


def _from_hex(text: str) -> str:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return ""
    return encode(data) if len(data) == 32 else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
