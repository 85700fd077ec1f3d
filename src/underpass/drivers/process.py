"""A foreign program, run so that nothing of it is left and nothing of it can hurt.

It leads a session of its own, dies with us, has no terminal and reads nothing, sees only the
variables it needs, and its words are read all the time, a line at a time, in bounded memory. Knows
nothing of tunnels.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from underpass.drivers.errors import EngineMissing
from underpass.drivers.launcher import launcher

MAX_LINE: Final = 1024 * 1024
# F41: what a program may have written without a line's end before the rest of it is dropped.

READ_BYTES: Final = 64 * 1024

GRACE_SECONDS: Final = 3.0
"""What a program may take to end after it was asked to."""

KEPT_VARIABLES: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
"""What every program gets; a plan adds what its engine needs."""


class LineSplitter:
    """Bytes in, lines out; never holds more than ``limit`` bytes."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._drops = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes, without their ends. A line that is too long comes as
        its first ``limit`` bytes; what is no UTF-8 is replaced."""
        lines = []
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._keep(part)
            lines.append(self._take())
            self._drops = False
        self._keep(rest)
        return lines

    def end(self) -> list[str]:
        """What came after the last line's end."""
        return [self._take()] if self._rest else []

    def _keep(self, part: bytes) -> None:
        if not self._drops:
            room = self._limit - len(self._rest)
            self._rest += part[:room]
            self._drops = len(part) > room

    def _take(self) -> str:
        line = self._rest.decode("utf-8", "replace").rstrip("\r")
        self._rest.clear()
        return line


def minimal(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that every program gets."""
    return {name: environment[name] for name in KEPT_VARIABLES if name in environment}


class Program:
    """A running program. Made by ``start``; ``stop`` must be awaited in the end."""

    def __init__(
        self, process: asyncio.subprocess.Process, name: str, on_line: Callable[[str], None]
    ) -> None:
        self.name = name
        """The program's name, without arguments."""
        self._process = process
        self._on_line = on_line
        assert process.stdout is not None
        assert process.stderr is not None
        self._pumps = [
            asyncio.create_task(self._pump(stream), name=f"underpass: read {name}")
            for stream in (process.stdout, process.stderr)
        ]

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> Program:
        """Start ``argv`` in ``directory`` with ``environment`` and nothing else.

        ``on_line`` gets each line of its output, of both kinds; it must not raise. Raises
        ``EngineMissing``.
        """
        program, name = argv[0], os.path.basename(argv[0])
        if shutil.which(program, path=environment.get("PATH")) is None:
            raise EngineMissing(engine=name, why=f"there is no program {program!r}")
        try:
            process = await asyncio.create_subprocess_exec(
                *launcher(signal.SIGKILL, alone=True),
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd=directory,
                limit=READ_BYTES,
            )
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise EngineMissing(engine=name, why=f"it cannot be started: {why}") from error
        return cls(process, name, on_line)

    def __repr__(self) -> str:
        return f"Program({self.name!r}, pid {self.pid})"

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet; a stopped one runs."""
        return self._process.returncode is None

    @property
    def is_frozen(self) -> bool:
        """Whether it was stopped by a signal or a debugger: it runs, and does nothing."""
        frozen = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        with suppress(psutil.Error):
            return self.is_running and psutil.Process(self.pid).status() in frozen
        return False

    async def wait(self) -> int:
        """Wait for its end and its last words; returns the exit code, 128 + N after signal N.

        What is left of its group is ended then. May be awaited by several at once.
        """
        code = await self._process.wait()
        self._signal(signal.SIGKILL)
        await asyncio.gather(*self._pumps, return_exceptions=True)
        return code if code >= 0 else 128 - code

    async def stop(self, grace: float = GRACE_SECONDS) -> int:
        """Ask the whole group to end, insist after ``grace`` seconds; returns the exit code.

        Idempotent; harmless after it has ended by itself.
        """
        if self.is_running:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # one that was stopped hears nothing else
            try:
                async with asyncio.timeout(grace):
                    await self._process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
        return await self.wait()

    async def _pump(self, stream: asyncio.StreamReader) -> None:
        splitter = LineSplitter()
        while data := await stream.read(READ_BYTES):
            for line in splitter.feed(data):
                self._on_line(line)
        for line in splitter.end():
            self._on_line(line)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # No group: it has not led one yet, or all of it is gone. macOS says "not permitted"
            # for a group whose only member is dead and not yet waited for.
            if self.is_running:
                with suppress(ProcessLookupError):
                    self._process.send_signal(number)


async def run_to_end(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    seconds: float,
) -> tuple[int, list[str]]:
    """Run a program that ends: exit code and what it wrote, 1000 lines at most.

    One that takes longer is ended (code 124, as timeout(1) says). Raises ``EngineMissing``.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        if len(lines) < 1000:
            lines.append(line)

    program = await Program.start(argv, environment=environment, directory=directory, on_line=keep)
    try:
        async with asyncio.timeout(seconds):
            return await program.wait(), lines
    except TimeoutError:
        return 124, lines
    finally:
        await program.stop(grace=0.5)
