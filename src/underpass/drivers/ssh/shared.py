"""One forward at an ssh that somebody else runs: added to the connection that it has already.

So a way that cannot be opened unattended (a one-time password, a key that wants to be touched) can
be used again and again, by as many tunnels as are wanted, each ended without the others. The ssh is
asked by its control socket, and believed only after a look; when it ends, it is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.errors import EngineAway
from underpass.drivers.keeper import with_port
from underpass.drivers.process import Program
from underpass.drivers.ssh.control import ControlMaster, Forward
from underpass.relay.protocol.backoff import Backoff

log = logging.getLogger(__name__)

AWAY: Final = "master-away"
HOLD_SECONDS: Final = 5.0


class SharedForward:
    """Satisfies ``Run``, without a program. ``start`` it once, ``close`` it in the end."""

    program: Program | None = None

    def __init__(
        self,
        master: ControlMaster,
        forward: Forward,
        url: str,
        say: Callable[[LinkView], None],
        *,
        jitter: Callable[[], float],
    ) -> None:
        """``url`` is where visitors come; the port that is asked for as 0 and given takes the place
        of its own."""
        self.url = ""
        self._master = master
        self._forward = forward
        self._planned_url = url
        self._tell_link = say
        self._jitter = jitter
        self._port: int | None = None
        """Where it listens; None while it does not."""
        self._pid: int | None = None
        self._held: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> str:
        """Add it; returns the public URL as soon as it is seen to listen.

        Raises ``EngineAway``; close it then, too.
        """
        self._task = asyncio.create_task(self._keep(), name="underpass: keep a shared ssh")
        return await self._first

    def redial(self, why: str) -> None:
        """Look at it anew: the connection itself is not ours to end."""
        log.info("the shared ssh is looked at anew: %s", why)
        if self._held is not None:
            self._held.transport.abort()

    async def close(self) -> None:
        """Take it away again; the ssh goes on. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._port is not None:
            try:
                await self._master.cancel(self._forward, self._port)
            except EngineAway as error:
                # With its ssh it is gone anyway; while that lives it leads to a closed door.
                log.warning("the forward stays with its ssh: %s", error.why)
            self._port = None

    async def _keep(self) -> None:
        backoff, loop = Backoff(), asyncio.get_running_loop()
        while True:
            try:
                await self._add()
            except EngineAway as error:
                if not self._first.done():
                    self._first.set_exception(error)
                    return
                self._tell_link(LinkView(LinkPhase.LOST, error.reason, error.message))
                await asyncio.sleep(backoff.failed(loop.time(), self._jitter()))
                continue
            backoff.recovered()
            self._tell_link(LinkView(LinkPhase.ATTACHED, public_url=self.url))
            if not self._first.done():
                self._first.set_result(self.url)
            await self._wait_gone()
            self._tell_link(LinkView(LinkPhase.LOST, AWAY, "the ssh that is shared has ended"))

    async def _add(self) -> None:
        pid = await self._master.check()
        if pid != self._pid:
            self._pid, self._port = pid, None  # what another one had ended with it
        if pid is None:
            why = f"no ssh with a connection answers at {self._master.control}"
            advice = f"start one: ssh -fNM -S {self._master.control} HOST"
            raise EngineAway("ssh", AWAY, why, advice)
        if isinstance(self._forward.listens, Path) and self._port is None:
            self._forward.listens.unlink(missing_ok=True)
        self._port = await self._master.forward(self._forward)
        self.url = self._planned_url
        at = self._forward.listens
        if not isinstance(at, Path) and at[1] == 0 and self._port:
            self.url = with_port(self._planned_url, self._port)

    async def _wait_gone(self) -> None:
        """Until the ssh closes a connection to its control socket, which says nothing and costs
        nothing; a ``ControlPersist`` does not run out meanwhile."""
        with suppress(OSError):
            async with asyncio.timeout(HOLD_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._master.control)
            self._held = writer
            try:
                while await reader.read(4_096):
                    pass
            finally:
                self._held = None
                writer.transport.abort()
