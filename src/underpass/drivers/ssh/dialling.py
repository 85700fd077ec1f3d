"""One connection made at the far end of a running ssh: ``-W`` through its master."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from underpass.drivers.launcher import launcher
from underpass.drivers.process import minimal


class FarDials:
    """The processes of such connections; each ends with its connection, all with ``close``."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def dial(
        self,
        host: str,
        port: int,
        *,
        control: Path,
        configuration: Path,
        hop: str,
        environment: Mapping[str, str],
    ) -> socket.socket:
        """A socket whose other end is a connection to ``host`` from the far host.

        It is returned before the far host has answered: what cannot be reached ends it.
        """
        if not os.path.exists(control):  # noqa: ASYNC240  (a directory in memory, at worst)
            raise ConnectionRefusedError("ssh is not connected")
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            process = await asyncio.create_subprocess_exec(
                *launcher(signal.SIGKILL, alone=True),
                *("ssh", "-T", "-F", str(configuration), "-S", str(control)),
                *("-o", "ControlMaster=no", "-o", "LogLevel=ERROR", "-W", target, hop),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=asyncio.subprocess.DEVNULL,
                env=minimal(environment),
                cwd=configuration.parent,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        task = asyncio.create_task(_reap(process), name="underpass: far dial")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return ours

    async def close(self) -> None:
        """End every connection. Idempotent."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


DIAL_SECONDS = 15.0
"""A proof takes no longer; a connection that is left open ends then."""


async def _reap(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
