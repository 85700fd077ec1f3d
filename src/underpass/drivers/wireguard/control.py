"""Talking to a device: by wireguard-go's own socket, or by the program ``wg``."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from underpass.drivers.wireguard.control_text import read_dump, read_uapi, uapi_set, wg_words
from underpass.drivers.wireguard.device import Change, Device
from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.place import Place, said
from underpass.guard.private_files import write_private
from underpass.guard.secrets import Secret

SOCKETS: Final = Path("/var/run/wireguard")
ANSWER_SECONDS: Final = 3.0
MAX_ANSWER: Final = 1 << 20
BRING_IT_UP: Final = "bring it up: underpass wg up FILE HOST"


class Control(Protocol):
    """One device."""

    async def read(self) -> Device:
        """What it is now. Raises ``InterfaceRefused``."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Change it; all of ``changes`` in one step. Raises ``InterfaceRefused``."""


class UapiControl:
    """A userspace device. Its sockets are common to all namespaces, so names must differ."""

    def __init__(self, interface: str) -> None:
        self.interface = interface

    @property
    def path(self) -> Path:
        """Its socket."""
        return SOCKETS / f"{self.interface}.sock"

    async def read(self) -> Device:
        """See ``Control``."""
        device, code = read_uapi(await self._ask("get=1\n\n"))
        self._judge(code)
        return device

    async def apply(self, changes: Sequence[Change]) -> None:
        """See ``Control``."""
        if changes:
            _, code = read_uapi(await self._ask(uapi_set(changes)))
            self._judge(code)

    async def _ask(self, words: str) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.path, limit=MAX_ANSWER)
                try:
                    writer.write(words.encode())
                    return (await reader.readuntil(b"\n\n")).decode("utf-8", "replace")
                finally:
                    writer.close()
        except TimeoutError:
            raise InterfaceRefused(self.interface, "its device does not answer") from None
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            why = getattr(error, "strerror", None) or "it closed the connection"
            told = f"no device answers ({why.lower()})"
            raise InterfaceRefused(self.interface, told, BRING_IT_UP) from None

    def _judge(self, code: int) -> None:
        if code:
            raise _refused(self.interface, abs(code), os.strerror(abs(code)).lower())


class WgControl:
    """Any device, in the kernel or not, by the program ``wg``."""

    def __init__(self, interface: str, place: Place) -> None:
        self.interface = interface
        self._place = place

    async def read(self) -> Device:
        """See ``Control``."""
        code, lines = await self._place.run("wg", "show", self.interface, "dump")
        if code:
            raise InterfaceRefused(self.interface, said(lines), BRING_IT_UP)
        return read_dump(lines)

    async def apply(self, changes: Sequence[Change]) -> None:
        """See ``Control``. Keys stand in 0600 files for as long as the program runs."""
        if not changes:
            return
        files: list[Path] = []

        def key_file(key: Secret) -> str:
            path = self._place.directory / f"{secrets.token_hex(8)}.key"
            files.append(path)
            write_private(path, key.reveal().encode() + b"\n")
            return str(path)

        try:
            words = wg_words(changes, key_file)
            code, lines = await self._place.run("wg", "set", self.interface, *words)
        finally:
            for path in files:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        if code:
            why = said(lines)
            in_use = os.strerror(errno.EADDRINUSE) in why
            raise _refused(self.interface, errno.EADDRINUSE if in_use else 0, why)


def _refused(interface: str, number: int, why: str) -> InterfaceRefused:
    if number == errno.EADDRINUSE:
        why = "its UDP port is taken"
        return InterfaceRefused(interface, why, "choose another: listen in the topology, or 0")
    return InterfaceRefused(interface, why)
