"""Where a host's interface lives: this machine's own network, or a named namespace of it.

In a namespace (``ip netns``) the interface, its routes and its rules cannot touch what else this
machine does with its network. Programs are run there, and sockets made there are used here.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.process import minimal, run_to_end

Made = TypeVar("Made")

NAMESPACES: Final = Path("/run/netns")
CLONE_NEWNET: Final = 0x40000000
CAP_NET_ADMIN: Final = 12
COMMAND_SECONDS: Final = 10.0

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def require_namespace(name: str) -> None:
    """Raise ``EngineOptionInvalid`` where a network namespace is named that is not there."""
    if name and not (NAMESPACES / name).exists():
        why = f"there is no namespace {name}: ip netns list"
        raise EngineOptionInvalid("wireguard", "netns", why)


def is_namespace_name(text: str) -> bool:
    """Whether ``text`` can name a namespace, and cannot name anything else."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """One network stack of this machine."""

    directory: Path
    """Where programs are run."""
    environment: Mapping[str, str] = field(repr=False)
    namespace: str = ""
    """"" for the one that this process is in."""

    def words(self, *command: str) -> tuple[str, ...]:
        """``command`` as it is run here."""
        return ("ip", "netns", "exec", self.namespace, *command) if self.namespace else command

    def has(self, program: str) -> bool:
        """Whether ``program`` can be found."""
        return shutil.which(program, path=self.environment.get("PATH")) is not None

    async def run(self, *command: str) -> tuple[int, list[str]]:
        """Run a program to its end: its exit code and its words. Raises ``EngineMissing``."""
        return await run_to_end(
            self.words(*command),
            environment=minimal(self.environment),
            directory=self.directory,
            seconds=COMMAND_SECONDS,
        )

    def inside(self, make: Callable[[], Made]) -> Made:
        """What ``make`` returns when called in this place. Raises what it does, and ``OSError``.

        A namespace belongs to a thread, so another is made for it; a socket stays where it was
        made. Takes no longer than ``make``.
        """
        if not self.namespace:
            return make()
        made: list[Made] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                _enter(self.namespace)
                made.append(make())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="underpass: in a namespace")
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this place, not blocking. Raises ``OSError``."""
        sock = self.inside(lambda: socket.socket(family, kind, protocol))
        sock.setblocking(False)
        return sock


def may_change_networks() -> bool:
    """Whether this process may make interfaces and rules."""
    if not sys.platform.startswith("linux"):
        return os.geteuid() == 0
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    except (OSError, ValueError, IndexError):
        pass
    return False


def said(lines: Sequence[str]) -> str:
    """The last words of a program that failed, for an error."""
    word = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return "".join(each if each.isprintable() else "?" for each in word[:200])


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
