"""How long the engines' own programs take without us: `docs/alone.json`, for the page beside ours.

    python -m tools.engines.alone docs/alone.json [ENGINE ...]

Each program is run with the words that its driver plans, keepalives included, on the benches of the
conformance suite, in front of an origin and with nobody to start it again. "Live" is the first
answer that a visitor got; what is noticed is what the program said, or its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.engines.bore.test_bore import BoreBench
from tests.engines.cloudflare.bench import CloudflareBench, QuickBench
from tests.engines.ngrok.benches import AgentBench
from tests.engines.plugin.test_localtunnel import EXAMPLE, MODULE, LocaltunnelBench
from tests.engines.ssh.test_ssh import SshBench
from tests.engines.ssh_service.test_ssh_service import ServiceBench

from underpass.drivers.foreign_engine import write_files
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.plans import DoorAddress, DoorKind
from underpass.drivers.process import Program
from underpass.drivers.registry import register
from underpass.model.spec import parse_spec
from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin

BENCHES: Final[dict[str, type[DriverBench]]] = {
    "bore": BoreBench,
    "cloudflare (quick tunnel)": QuickBench,
    "cloudflare (token)": CloudflareBench,
    "localtunnel": LocaltunnelBench,
    "ngrok (agent 2.3.41)": AgentBench,
    "ssh": SshBench,
    "ssh-service": ServiceBench,
}
"""By the name that the engine has on the page."""

PATIENCE: Final = 45.0
"""Seconds after which something is held not to come: longer than any of ours took."""

Seconds = float | None


class Alone:
    """One program that runs in front of an origin, watched from outside."""

    def __init__(self, bench: DriverBench, program: Program, url: str) -> None:
        self.bench = bench
        self.program = program
        self.url = url
        self.word = asyncio.Event()
        """It has said that something is wrong."""

    def hear(self, observation: Observation | None) -> None:
        """Take in what one of its lines says."""
        if isinstance(observation, Carrying):
            if observation.port:
                self.url = f"{self.url.rpartition(':')[0]}:{observation.port}"
            self.url = observation.url or self.url
        elif isinstance(observation, (Faltering, Refusal)):
            self.word.set()

    async def answers(self) -> Seconds:
        """Seconds until a visitor is answered by the origin."""
        return await _timed(self._until_answered())

    async def notices(self) -> Seconds:
        """Seconds until it says that something is wrong, or ends."""
        tasks = [
            asyncio.ensure_future(self.word.wait()),
            asyncio.ensure_future(self.program.wait()),
        ]
        try:
            return await _timed(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))
        finally:
            for task in tasks:
                task.cancel()

    async def _until_answered(self) -> None:
        while True:
            if self.program.is_running and self.url:
                with suppress(OSError, EOFError, ValueError, AssertionError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        if (await ask(self.bench, self.url, "/alone")).status == 200:
                            return
            await asyncio.sleep(0.05)  # a visitor is told by nobody when it may come again


async def _timed(wait: object) -> Seconds:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(PATIENCE):
            await wait  # type: ignore[misc]
    except TimeoutError:
        return None
    return round(loop.time() - began, 2)


@asynccontextmanager
async def running(bench: DriverBench, origin: int) -> AsyncIterator[Alone]:
    """The program, as its driver plans it, in front of the origin's port."""
    spec = parse_spec(f"{origin} --engine {bench.engine} --gate bearer")
    async with _unix_door(bench.runtime / "door.sock", origin) as unix:
        driver, site = bench.driver(), bench.site(bench.options())
        site = replace(site, detection=await driver.detect(site))
        engine = driver.make_engine(spec, site)
        by_socket = driver.plan(spec, site).door is DoorKind.UNIX
        door = DoorAddress(unix=unix) if by_socket else DoorAddress(port=origin)
        plan = engine._driver.plan(spec, engine._site.at(door))
        engine._plan = plan
        write_files(plan)
        read = engine._driver.read
        heard: list[Observation | None] = []
        alone: Alone | None = None

        def hear(line: str) -> None:
            heard.append(read(line))
            if alone is not None:
                alone.hear(heard[-1])

        program = await Program.start(
            plan.argv,
            environment=engine.environment,
            directory=bench.runtime,
            on_line=hear,
        )
        alone = Alone(bench, program, plan.url)
        for each in heard:
            alone.hear(each)
        try:
            yield alone
        finally:
            await program.stop()


@asynccontextmanager
async def _unix_door(path: Path, port: int) -> AsyncIterator[Path]:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_unix_server(visited, path)
    try:
        yield path
    finally:
        server.close()


async def measure(kind: type[DriverBench]) -> dict[str, Seconds]:
    """Both stories of one engine: its far end ends and comes back, and freezes and thaws."""
    found: dict[str, Seconds] = {}
    for breaks, mends, names in (
        ("cut", "mend", ("dead path", "recovered")),
        ("freeze", "thaw", ("frozen far end", "thawed")),
    ):
        with tempfile.TemporaryDirectory(prefix="up-") as place:
            home, runtime = Path(place) / "home", Path(place) / "run"
            home.mkdir()
            runtime.mkdir()
            async with (
                HttpOrigin() as origin,
                kind(home, runtime) as bench,
                running(bench, origin.port) as alone,
            ):
                found.setdefault("live", await alone.answers())
                alone.word.clear()
                await getattr(bench, breaks)()
                found[names[0]] = await alone.notices()
                await getattr(bench, mends)()
                found[names[1]] = await alone.answers() if alone.program.is_running else None
    return found


def _main(path: Path, names: list[str]) -> None:
    sys.path.insert(0, str(EXAMPLE))
    register("localtunnel", import_module(MODULE).LocaltunnelDriver)
    told = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in names or list(BENCHES):
        told[name] = asyncio.run(measure(BENCHES[name]))
        sys.stdout.write(f"{name}: {told[name]}\n")
        path.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
