"""The keys of a network on disk, and the steps by which one host's key is replaced.

A directory (0700) beside the topology file holds, for each host, ``HOST.key`` (0600, where this
machine has it) and ``HOST.pub``; for each pair with a preshared key ``A+B.psk``. While a key is
being replaced there are ``HOST.next.key`` and ``HOST.next.pub``, and after the switch
``HOST.old.pub`` until everybody has followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from underpass.drivers.wireguard.errors import KeyMissing, KeyUnreadable, RotationOutOfTurn
from underpass.drivers.wireguard.key_text import clamp, decode, encode, is_key
from underpass.drivers.wireguard.topology import Topology
from underpass.guard.private_files import private_directory, read_private, write_private
from underpass.guard.secrets import Secret


def new_private_key() -> Secret:
    """A fresh private key."""
    return Secret(encode(clamp(os.urandom(32))))


def new_preshared_key() -> Secret:
    """A fresh secret for one pair."""
    return Secret(encode(os.urandom(32)))


def public_of(private: Secret) -> str:
    """The public key of a private one. Raises ``ValueError`` for what is none."""
    data = decode(private.reveal())
    if data is None:
        raise ValueError("it is no key")
    return encode(X25519PrivateKey.from_private_bytes(data).public_key().public_bytes_raw())


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys by which one host may be known at the moment."""

    current: str
    following: tuple[str, ...] = ()
    """The one that will take over."""
    former: tuple[str, ...] = ()
    """The one that the current one took over from."""


class Keyring:
    """The keys of one network, in one directory."""

    def __init__(self, directory: Path, topology: Topology) -> None:
        self.directory = directory
        self._topology = topology

    @classmethod
    def beside(cls, path: Path, topology: Topology) -> Keyring:
        """The directory that belongs to the topology at ``path``."""
        return cls(path.with_name(path.stem + ".keys"), topology)

    def make(self, hosts: Iterable[str] | None = None) -> list[str]:
        """Make what is missing: for ``hosts``, all when None, except those whose public key stands
        in the topology; and for their pairs. Returns the hosts that got a key."""
        private_directory(self.directory)
        wanted = list(self._topology.hosts) if hosts is None else list(hosts)
        made = []
        for name in wanted:
            host = self._topology.host(name)
            if not host.public_key and not self._private(name).exists():
                self._store(name, new_private_key())
                made.append(name)
        if self._topology.preshared:
            for one, other in self._topology.links():
                path = self._pair(one, other)
                if (one in wanted or other in wanted) and not path.exists():
                    write_private(path, new_preshared_key().reveal().encode() + b"\n")
        return made

    def private(self, name: str) -> Secret:
        """The private key of ``name``. Raises ``KeyMissing``, ``KeyUnreadable``, and what
        ``read_private`` does."""
        path = self._private(name)
        if not path.exists():
            advice = f"make it here: underpass wg keys FILE --host {name}, or bring it here"
            raise KeyMissing(f"the private key of {name}", str(path), advice)
        return _read(path)

    def public(self, name: str) -> PublicKeys:
        """The public keys of ``name``: the topology's, else those of this directory."""
        host = self._topology.host(name)
        current = host.public_key
        if not current:
            path = self._public(name)
            if not path.exists():
                advice = "bring it here, or write it into the topology as public-key"
                raise KeyMissing(f"the public key of {name}", str(path), advice)
            current = _read_public(path)
        following = {host.next_public_key, *self._staged(f"{name}.next")} - {"", current}
        former = {*self._staged(f"{name}.old")} - {current, *following}
        return PublicKeys(current, tuple(sorted(following)), tuple(sorted(former)))

    def preshared(self, one: str, other: str) -> Secret | None:
        """The secret of a pair; None where the network has none. Raises ``KeyMissing``."""
        if not self._topology.preshared:
            return None
        path = self._pair(one, other)
        if not path.exists():
            advice = "bring it here, or set preshared = false at all hosts"
            raise KeyMissing(f"the preshared key of {one} and {other}", str(path), advice)
        return _read(path)

    # Rotation

    def stage(self, name: str) -> str:
        """Make the key that will take over; returns its public key, which every neighbour must
        know before the switch. Raises ``RotationOutOfTurn``."""
        self.private(name)
        for stage, advice in ((".next", "switch"), (".old", "finish")):
            if self._public(name + stage).exists():
                raise RotationOutOfTurn(name, "one is under way", f"its next step is {advice}")
        key = new_private_key()
        self._store(f"{name}.next", key)
        return public_of(key)

    def switch(self, name: str) -> str:
        """Let the staged key take over; returns its public key. A running ``underpass wg up`` or
        tunnel of this host does so at once, and its neighbours follow its first handshake."""
        following = self._private(f"{name}.next")
        if not following.exists():
            advice = f"stage one first: underpass wg rotate FILE {name} stage"
            raise RotationOutOfTurn(name, "no key is staged", advice)
        former, key = self.private(name), _read(following)
        write_private(self._public(f"{name}.old"), _line(public_of(former)))
        self._store(name, key)
        following.unlink()
        self._public(f"{name}.next").unlink(missing_ok=True)
        return public_of(key)

    def finish(self, name: str) -> None:
        """Forget the key that was taken over from. At a neighbour, which was brought the staged key
        and knows of no switch, that is the one it had. Raises ``RotationOutOfTurn``."""
        former, following = self._public(f"{name}.old"), self._public(f"{name}.next")
        if former.exists():
            former.unlink()
            return
        if not following.exists():
            raise RotationOutOfTurn(
                name, "no key was switched", f"begin with: underpass wg rotate FILE {name} stage"
            )
        if self._private(name).exists():
            raise RotationOutOfTurn(name, "its key was not switched", "its next step is switch")
        write_private(self._public(name), _line(_read_public(following)))
        following.unlink()

    def pack(self, name: str, target: Path) -> list[str]:
        """Write into ``target`` what the machine ``name`` needs: its private key, everybody's
        public keys, its pairs' secrets. Returns the files' names."""
        private_directory(target)
        files = [self._private(name)]
        stages = ("", ".next", ".old")
        files += [self._public(other + stage) for other in self._topology.hosts for stage in stages]
        if self._topology.preshared:
            files += [self._pair(name, other) for other in self._topology.neighbours(name)]
        written = []
        for file in files:
            if file.exists():
                key = _read_public(file) if file.suffix == ".pub" else _read(file).reveal()
                write_private(target / file.name, _line(key))
                written.append(file.name)
        return written

    def _staged(self, name: str) -> list[str]:
        path = self._public(name)
        return [_read_public(path)] if path.exists() else []

    def _store(self, name: str, key: Secret) -> None:
        write_private(self._private(name), _line(key.reveal()))
        write_private(self._public(name), _line(public_of(key)))

    def _private(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def _public(self, name: str) -> Path:
        return self.directory / f"{name}.pub"

    def _pair(self, one: str, other: str) -> Path:
        first, second = sorted((one, other))
        return self.directory / f"{first}+{second}.psk"


def _read(path: Path) -> Secret:
    text = read_private(path).decode("ascii", "replace").strip()
    if not is_key(text):
        raise KeyUnreadable(str(path))
    return Secret(text)


def _read_public(path: Path) -> str:
    """Everybody may read a public key, which somebody brought here; only its owner may write it."""
    status = path.lstat()
    is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not is_ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return _read(path).reveal()  # which says what is wrong
    with path.open("rb") as file:
        text = file.read(200).decode("ascii", "replace").strip()
    if not is_key(text):
        raise KeyUnreadable(str(path))
    return text


def _line(text: str) -> bytes:
    return text.encode() + b"\n"
