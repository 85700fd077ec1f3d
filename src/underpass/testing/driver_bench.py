"""What the conformance suite needs to know of one driver, and how it meets tunnels: the bench.

A driver's author subclasses ``DriverBench`` and says how to start a far end, with which options the
engine finds it, and how to make it fail. The suite does the rest, through the product itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import unittest
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import psutil

from underpass.assembly import OpenTunnel, open_tunnel
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.plans import DoorAddress, Site
from underpass.drivers.registry import load
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec

PATIENCE = 30.0
"""Seconds for any one event; a wait that succeeds is never that long."""

Options = dict[str, str]


class DriverBench:
    """One driver, its far end, and a user with a home. An async context manager."""

    engine: ClassVar[str] = ""
    """The engine's word."""
    program: ClassVar[str] = ""
    """Name of the program it runs, as found on PATH; "" for none."""
    variant: ClassVar[str] = ""
    """Which of several ways to carry it, where there are several: ``SDK``, ``native``, …"""
    cannot: ClassVar[Mapping[str, str]] = {}
    """Tests that make no sense for this engine, by name, each with the reason."""
    quota_words: ClassVar[frozenset[str]] = frozenset({"quota-hit"})
    """Codes, or reasons of refusals, by which a quota that is used up may be told."""
    tcp_words: ClassVar[str] = "--public --for 30m"
    """Words of a spec with which it takes a tcp origin; "" when it takes none."""

    def __init__(self, home: Path, runtime: Path) -> None:
        """``home`` and ``runtime`` are empty, of this bench alone; ``runtime`` has a short path."""
        self.home = home
        self.runtime = runtime
        runtime.chmod(0o700)
        self.stack = AsyncExitStack()
        self.tunnels: list[OpenTunnel] = []
        self.version = ""
        """Of the engine, as its driver found it."""
        self.measured: dict[str, float | None] = {}
        """Seconds that things took; None for what did not come (``driver_record``)."""

    # What a subclass says

    async def start(self) -> None:
        """Start the far end; what must be ended goes on ``self.stack``."""

    def options(self) -> Options:
        """Engine options of a tunnel that works."""
        return {}

    def open_options(self) -> dict[str, Any]:
        """More fields of ``OpenOptions``."""
        return {}

    def wrong_credential(self) -> Options | None:
        """Options with which the far end refuses us; None where there are no credentials."""
        return None

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        """Options that ask for a public port which somebody else holds meanwhile."""
        raise unittest.SkipTest("nobody chooses its public port")
        yield {}

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        """Options of a tunnel for which the far end says meanwhile that a quota is used up."""
        raise unittest.SkipTest("nobody counts what it carries")
        yield {}

    def far_end(self) -> list[int]:
        """Process ids of the far end, where it has processes of its own."""
        return []

    async def cut(self) -> None:
        """End the far end at once, as a host that loses power."""
        raise unittest.SkipTest("its far end cannot be ended apart from it")

    async def mend(self) -> None:
        """Start the far end again, where it was."""

    async def freeze(self) -> None:
        """Make the far end silent without ending a connection."""
        pids = self.far_end()
        if not pids:
            raise unittest.SkipTest("its far end cannot be frozen apart from it")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    async def thaw(self) -> None:
        """Let it go on."""
        for pid in self.far_end():
            os.kill(pid, signal.SIGCONT)

    def hostile_options(self, text: str) -> list[Options]:
        """For each option that reaches the program's words or files: a set with ``text`` in it."""
        return []

    def secrets(self) -> dict[str, str]:
        """Secrets by what they are, besides the visitors' token."""
        return {}

    def child(self, tunnel: OpenTunnel) -> int:
        """Process id of the program that carries ``tunnel``."""
        engine = tunnel.engine
        if not isinstance(engine, ForeignEngine) or engine.program is None:
            raise unittest.SkipTest("no program carries it")
        return engine.program.pid

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Come to ``url`` as a visitor does."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return await asyncio.open_connection(parts.hostname, port, limit=1 << 22)

    # What the suite uses

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for tunnel in self.tunnels:
            await tunnel.close()
        await self.stack.aclose()

    def skip_if_cannot(self, test: str) -> None:
        """Skip ``test`` with the reason that the bench gives."""
        if test in self.cannot:
            raise unittest.SkipTest(self.cannot[test])

    async def open(
        self, words: str, options: Options | None = None, *, timeout: float = PATIENCE
    ) -> OpenTunnel:
        """Open a tunnel through the whole product; it is closed with the bench at the latest."""
        given = self.options() if options is None else options
        spec = parse_spec(f"{words} --engine {self.engine}")
        tunnel = await open_tunnel(
            spec,
            OpenOptions(
                state_dir=self.home / "state",
                runtime_dir=self.runtime,
                engine_options=tuple(given.items()),
                timeout=timeout,
                **self.open_options(),
            ),
        )
        self.tunnels.append(tunnel)
        return tunnel

    def site(self, options: Options) -> Site:
        """A site to plan with, its door as if it were open."""
        return Site(
            "tools",
            self.runtime,
            options=options,
            environment=dict(os.environ),
            door=DoorAddress(unix=self.runtime / "door.sock", port=4_000),
        )

    def driver(self) -> Any:
        """The driver, as the product finds it."""
        return load(self.engine)

    def leftovers(self, before: set[int]) -> list[str]:
        """Children of this process that were not there ``before``, and files of tunnels."""
        found = [f"process {pid}: {name}" for pid, name in children().items() if pid not in before]
        for place in (self.runtime, self.home / "state" / "tokens"):
            found += [str(path) for path in place.rglob("*") if not path.is_dir()]
        return found


def children() -> dict[int, str]:
    """Processes below this one that are not merely waiting to be reaped, by id."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
    return found


def listening() -> set[tuple[str, int]]:
    """Where this process and its children listen for TCP."""
    found = set()
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            for each in process.net_connections("inet"):
                if each.status == psutil.CONN_LISTEN:
                    found.add((each.laddr.ip, each.laddr.port))
        except psutil.Error:
            continue
    return found
