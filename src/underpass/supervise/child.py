"""The origin that ``--run -- CMD`` starts: it lives and ends with its tunnel.

The child leads a process group of its own, so that whatever it starts can be ended with it. On
Linux the kernel ends it even when this process is killed. Its exit code is passed on.
How it is started, and why so, is in ``drivers.launcher``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

from underpass.drivers.launcher import launcher
from underpass.model.options import ORIGIN_GRACE_SECONDS
from underpass.supervise.errors import CommandNotFound, CommandNotStarted


class Child:
    """A running origin. Made by ``start``; ``stop`` must be awaited in the end."""

    def __init__(self, process: asyncio.subprocess.Process, command: str) -> None:
        self._process = process
        self.command = command
        """The program's name, without arguments: those may hold what nobody should read."""

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        url: str,
        environment: Mapping[str, str] | None = None,
        output: int | None = None,
    ) -> Child:
        """Start ``command`` with ``UNDERPASS_URL`` set to ``url``.

        ``environment`` replaces the inherited one. The child reads nothing; what it writes goes to
        the descriptor ``output``, or to our stderr, since our stdout carries results. Raises
        ``CommandNotFound`` and ``CommandNotStarted``.
        """
        surroundings = dict(os.environ if environment is None else environment)
        program = command[0]
        if shutil.which(program, path=surroundings.get("PATH")) is None:
            raise CommandNotFound(command=program)
        surroundings["UNDERPASS_URL"] = url
        sink = sys.__stderr__.fileno() if output is None and sys.__stderr__ else output
        try:
            process = await asyncio.create_subprocess_exec(
                *launcher(signal.SIGTERM),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=surroundings,
            )
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise CommandNotStarted(command=program, why=why) from error
        return cls(process, os.path.basename(program))

    def __repr__(self) -> str:
        return f"Child({self.command!r}, pid {self.pid})"

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code, 128 + N after signal N, as shells say it; None while it runs."""
        code = self._process.returncode
        return code if code is None or code >= 0 else 128 - code

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end; returns the exit code.

        May be awaited by several at once. What is left of its group is ended then.
        """
        await self._process.wait()
        self._signal(signal.SIGKILL)
        assert self.code is not None
        return self.code

    async def stop(self, grace: float = ORIGIN_GRACE_SECONDS) -> int:
        """Ask the whole group to end, insist after ``grace`` seconds; returns the exit code.

        Idempotent; harmless after it has ended by itself.
        """
        if self.is_running:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace):
                    await self._process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # No group: it has not led one yet, or all of it is gone. macOS says "not permitted"
            # for a group whose only member is dead and not yet waited for.
            if self.is_running:
                self._process.send_signal(number)
