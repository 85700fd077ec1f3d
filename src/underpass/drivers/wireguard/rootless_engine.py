"""WireGuard without rights as an engine: a foreign program of ours behind the Unix door."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.launcher import launcher
from underpass.drivers.process import minimal
from underpass.drivers.wireguard.rootless import VISITORS
from underpass.drivers.wireguard.settings import WireGuardSettings

PROGRAM: Final = "underpass.drivers.wireguard.rootless"
VISITOR: Final = "underpass.drivers.wireguard.rootless_visit"
VISIT_FILE: Final = "visit.json"
VISIT_SECONDS: Final = 15.0
"""A proof takes no longer."""


def rootless_words(settings: WireGuardSettings, directory: Path) -> tuple[str, ...]:
    """The program and its words: paths and numbers, no key. Pure."""
    words = [
        *_entering(settings),
        *(sys.executable, "-I", "-m", PROGRAM),
        *("--topology", str(settings.topology), "--keys", str(settings.keys)),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--door", str(directory / "door.sock"), "--visit", str(directory / VISIT_FILE)),
    ]
    if settings.listen is not None:
        words += ["--listen", str(settings.listen)]
    return tuple(words)


def _entering(settings: WireGuardSettings) -> tuple[str, ...]:
    return ("ip", "netns", "exec", settings.netns) if settings.netns else ()


class RootlessEngine(ForeignEngine):
    """Satisfies ``DialsPublic``: proofs come as a host of the network, over UDP to our endpoint."""

    _visits: set[asyncio.Task[None]] | None = None
    _count = 0

    async def dial_public(self) -> socket.socket:
        """See ``DialsPublic``. The socket is there before the far side has answered; what cannot
        be reached ends it."""
        file = self._site.directory / VISIT_FILE
        if self.program is None or not os.path.exists(file):  # noqa: ASYNC240  (in memory)
            raise ConnectionRefusedError("the program is not running")
        number, self._count = self._count % VISITORS, self._count + 1
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *launcher(signal.SIGKILL, alone=True),
                *_entering(WireGuardSettings.parse(self._site.options)),
                *(sys.executable, "-I", "-m", VISITOR, str(file), str(number)),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=minimal(self._site.environment),
                cwd=self._site.directory,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        if self._visits is None:
            self._visits = set()
        task = asyncio.create_task(_reap(process), name="underpass: visit")
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)
        return ours

    async def close(self) -> None:
        """See ``Engine``."""
        visits = list(self._visits or ())
        for task in visits:
            task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        await super().close()
        with suppress(OSError):
            (self._site.directory / VISIT_FILE).unlink(missing_ok=True)


async def _reap(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(VISIT_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
