"""What can go wrong with a WireGuard network and this machine's part of it."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused, Setup


@dataclass(eq=False)
class TopologyInvalid(Misuse):
    """The topology file cannot be read as one; every mistake is named."""

    path: str
    why: str

    code = "topology-invalid"
    sentence = "cannot use the topology {path}: {why}"
    hint_text = "one to begin with: underpass wg example; docs/wireguard.md has its grammar"


@dataclass(eq=False)
class HostUnknown(Misuse):
    """No host of that name stands in the topology."""

    host: str
    known: str

    code = "topology-host-unknown"
    sentence = "cannot find the host {host!r} in the topology"
    hint_text = "its hosts are {known}"


@dataclass(eq=False)
class KeyMissing(Setup):
    """A key that this step needs is not there."""

    what: str
    path: str
    advice: str

    code = "wireguard-key-missing"
    sentence = "cannot find {what} at {path}"
    hint_text = "{advice}"


@dataclass(eq=False)
class KeyUnreadable(Setup):
    """A file that should hold a WireGuard key holds something else."""

    path: str

    code = "wireguard-key-unreadable"
    sentence = "cannot read a WireGuard key from {path}: it is not 32 bytes in base64"
    hint_text = "remove it and make another: underpass wg keys FILE"


@dataclass(eq=False)
class RotationOutOfTurn(Refused):
    """A step of a key's rotation that is not the next one."""

    host: str
    why: str
    advice: str

    code = "rotation-out-of-turn"
    sentence = "cannot rotate the key of {host}: {why}"
    hint_text = "{advice}"


@dataclass(eq=False)
class InterfaceRefused(Setup):
    """The interface, its rules or its device cannot be set up or changed."""

    interface: str
    why: str
    advice: str = ""

    code = "interface-refused"
    exit_code = 7
    sentence = "cannot set up the interface {interface}: {why}"
    hint_text = "{advice}"

    @property
    def hint(self) -> str | None:
        """What to do, where it is known; else where to look."""
        looks = f"ip address show {self.interface}; wg show {self.interface}"
        return self.advice or f"see what is there: {looks}"
