"""The bridge process as the tunnel sees it: started, kept, ended for certain.

Its process leads a group of its own and dies with us; the servers that it starts die with it. When
it ends by itself it is started again, with growing waits; meanwhile visitors are told that the
origin is away.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from underpass.bridge.errors import (
    BridgeBroken,
    StdioServerEnded,
    StdioServerNotFound,
    VariableNotSet,
)
from underpass.bridge.settings import BridgeNews, BridgeSettings
from underpass.drivers.launcher import launcher
from underpass.drivers.orphans import claim, forget_program, note_program
from underpass.relay.protocol.backoff import Backoff

log = logging.getLogger(__name__)

START_SECONDS: Final = 30.0
"""Importing the SDK takes a second or two, a program's first answer its own time."""
STOP_SECONDS: Final = 8.0
"""The SDK gives a server two seconds after the end of its stdin, and two after SIGTERM."""
NEWS_BYTES: Final = 4096


class BridgeKeeper:
    """One bridge, from ``start`` to ``stop``; or use it as an async context manager."""

    def __init__(
        self, command: Sequence[str], runtime_dir: Path, pass_env: Sequence[str] = ()
    ) -> None:
        self._command = tuple(command)
        self._pass_env = tuple(pass_env)
        self._runtime_dir = runtime_dir
        self._directory: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def socket(self) -> Path:
        """Where it serves; the same through every restart."""
        assert self._directory is not None
        return self._directory / "s"

    @property
    def pid(self) -> int | None:
        """Process id, which is also that of its group."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Serve; the program has been started once and has answered when this returns.

        Raises ``StdioServerNotFound``, ``VariableNotSet``, ``StdioServerEnded`` or
        ``BridgeBroken``; nothing is left then.
        """
        name = os.path.basename(self._command[0])
        if shutil.which(self._command[0]) is None:
            raise StdioServerNotFound(command=name)
        if unset := tuple(each for each in self._pass_env if each not in os.environ):
            raise VariableNotSet(names=unset)
        if importlib.util.find_spec("mcp") is None:
            raise BridgeBroken(why="the package mcp is not installed")
        self._directory = Path(tempfile.mkdtemp(prefix="bridge-", dir=self._runtime_dir))
        claim(self._directory)
        try:
            async with asyncio.timeout(START_SECONDS):
                news = await self._launch()
        except TimeoutError:
            await self.stop()
            why = f"{name} has not answered within {START_SECONDS:g} s"
            raise BridgeBroken(why=why) from None
        except BaseException:
            await self.stop()
            raise
        if news != "ready":
            await self.stop()
            if news == "failed":
                raise StdioServerEnded(command=name)
            raise BridgeBroken(why="its process ended at once")
        self._keeping = asyncio.create_task(self._keep(), name="underpass: keep the bridge")

    async def stop(self) -> None:
        """End it and every server it started. Idempotent."""
        self._stopping = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._end()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _launch(self) -> str:
        """Start the process; its first word, or "" when it ended without one."""
        assert self._directory is not None
        self.socket.unlink(missing_ok=True)
        errors = sys.__stderr__.fileno() if sys.__stderr__ is not None else None
        # -P: without it the directory we run in would come before our own packages.
        self._process = process = await asyncio.create_subprocess_exec(
            *launcher(signal.SIGTERM),
            *(sys.executable, "-P", "-m", "underpass.bridge"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=NEWS_BYTES,
        )
        note_program(self._directory, process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        settings = BridgeSettings(
            command=self._command, socket=str(self.socket), pass_env=self._pass_env
        )
        process.stdin.write(msgspec.json.encode(settings) + b"\n")
        with suppress(ConnectionError):
            await process.stdin.drain()
        line = await process.stdout.readline()
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=BridgeNews).event
        return ""

    async def _keep(self) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            assert self._process is not None
            code = await self._process.wait()
            self._kill_group()
            wait = backoff.failed(loop.time(), random.random())
            log.warning("the MCP bridge ended (%s); starting it again in %.1f s", code, wait)
            await asyncio.sleep(wait)
            with suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    if await self._launch() == "ready":
                        backoff.recovered()
                        continue
            await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                self._kill_group()
                await process.wait()
        self._kill_group()
        if self._directory is not None:
            forget_program(self._directory)

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
