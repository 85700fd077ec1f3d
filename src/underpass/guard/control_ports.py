"""Our own doors, and the check that no tunnel leads to one of them.

A tunnel to the API socket of a running ``open``, to a relay's metrics or to the relay itself would
let a visitor command us, or turn in circles. What an origin's name says does not matter: judged are
the (address, port) pairs it resolves to, just before they are dialled, so ``127.1``, ``0.0.0.0``,
``::ffff:127.0.0.1``, ``localhost`` and any name that somebody points at us are one and the same.

Every process writes its doors to a file in the runtime directory and holds a lock on it as long as
it lives; a file without a lock is left over and counts for nothing.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

from underpass.guard.private_files import private_directory
from underpass.model.errors_run import OwnControlPort
from underpass.model.origin import Origin

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SUFFIX: Final = ".doors"
FRESH_SECONDS: Final = 1.0
"""How old what is known of other processes' doors may be when a connection is judged: reading the
directory costs more than the connection itself."""
_MAX_FILE_BYTES: Final = 64 * 1024


class ControlPorts:
    """The doors of this process, and those of others as of the last ``reload``.

    Use as a context manager, or call ``close``: it takes this process's doors back.
    """

    def __init__(self, directory: Path) -> None:
        """``directory`` is ours alone (0700); it also holds the API sockets of every ``open``."""
        self._directory = private_directory(directory)
        self._path = directory / f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}"
        self._file: int | None = None
        self._own: list[tuple[str, int, str]] = []
        self._others: list[tuple[str, int, str]] = []
        self._read_at = -FRESH_SECONDS
        self.reload()

    def register(self, address: str, port: int, what: str) -> None:
        """Note that we listen on ``address`` (in text, as bound) and ``port``; ``what`` says
        which door it is ("the metrics listener"), to end a sentence."""
        self._own.append((str(ipaddress.ip_address(address)), port, what))
        self._write()

    def release(self, address: str, port: int) -> None:
        """Note that we listen there no more. Idempotent."""
        key = (str(ipaddress.ip_address(address)), port)
        self._own = [door for door in self._own if door[:2] != key]
        self._write()

    def reload(self) -> None:
        """Read the doors of the other processes of this user again."""
        self._others = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if path != self._path:
                self._others += _read_living(path)

    def refresh(self, now: float) -> None:
        """``reload``, at most once in ``FRESH_SECONDS`` of the clock that ``now`` is of: for those
        who ask at every connection."""
        if now - self._read_at >= FRESH_SECONDS:
            self._read_at = now
            self.reload()

    def what_is(self, address: str, port: int) -> str | None:
        """Which door of ours a connection to ``address`` and ``port`` would meet, or None."""
        target = _normal(address)
        for bound, door_port, what in (*self._own, *self._others):
            if door_port == port and _meets(target, bound):
                return what
        return None

    def what_is_socket(self, path: str) -> str | None:
        """Which door of ours the Unix socket ``path`` is, or None; links are followed."""
        try:
            is_ours = Path(path).resolve().is_relative_to(self._directory.resolve())
            is_ours = is_ours or self._is_one_of_ours(os.stat(path))
        except OSError:
            return None
        return "a control socket" if is_ours else None

    def check(self, origin: Origin, resolved: Iterable[tuple[str, int]] = ()) -> None:
        """Raise ``OwnControlPort`` if the origin is a door of ours. ``resolved`` are the pairs
        that its name leads to: all are judged, since any may be dialled."""
        if origin.is_unix:
            what = self.what_is_socket(origin.socket)
            if what is not None:
                raise OwnControlPort(origin=origin.text, what=what)
        for address, port in resolved:
            what = self.what_is(address, port)
            if what is not None:
                raise OwnControlPort(origin=origin.text, what=what)

    def close(self) -> None:
        """Take this process's doors back. Idempotent."""
        self._own = []
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _is_one_of_ours(self, status: os.stat_result) -> bool:
        """Whether a hard link elsewhere is the same socket as one in our directory."""
        same = (status.st_dev, status.st_ino)
        return any(
            (each.lstat().st_dev, each.lstat().st_ino) == same
            for each in self._directory.iterdir()
            if each.is_socket()
        )

    def _write(self) -> None:
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        # Overwritten in one write before it is cut, and read up to the closing bracket: a reader
        # never meets an empty file, and what is left of a longer list does not trouble it.
        data = json.dumps(self._own).encode()
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))


def _read_living(path: Path) -> list[tuple[str, int, str]]:
    """The doors in a file whose writer still holds its lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parse(os.read(descriptor, _MAX_FILE_BYTES))
    else:
        return []
    finally:
        os.close(descriptor)


def _parse(data: bytes) -> list[tuple[str, int, str]]:
    try:
        rows: Any = json.JSONDecoder().raw_decode(data.decode())[0]
        return [(str(ipaddress.ip_address(row[0])), int(row[1]), str(row[2])) for row in rows]
    except (ValueError, TypeError, LookupError):
        return []


def _normal(address: str) -> Address:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return (parsed.ipv4_mapped if parsed.version == 6 else None) or parsed


def _meets(target: Address, bound: str) -> bool:
    """Whether a connection to ``target`` can arrive at a socket bound to ``bound``.

    All of loopback counts as one: the little that is refused too much (an own service on
    127.0.0.2 with the number of one of our ports) is easily moved.
    """
    here = _normal(bound)
    if target.is_loopback or target.is_unspecified:
        # Connecting to 0.0.0.0 or :: ends at loopback.
        return here.is_loopback or here.is_unspecified
    return target == here or (here.is_unspecified and is_local(target))


def is_local(address: Address) -> bool:
    """Whether ``address`` is one of this machine: the kernel lets a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
