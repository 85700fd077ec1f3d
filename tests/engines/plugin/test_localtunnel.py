"""A driver that somebody else brings, truly installed, passes the suite of all engines."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
from tests.edges.localtunnel import DOMAIN, LocaltunnelServer, packages

from underpass.drivers import registry
from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import (
    DriverSuite,
    bearer,
    change,
    refusal,
    url_of,
    write_stub,
)
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "plugin_localtunnel"
MODULE = "underpass_localtunnel"

pytestmark = pytest.mark.npm


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed by pip as its users do, into a directory of its own."""
    place = tmp_path_factory.mktemp("plugin")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    words = ("--no-deps", "--no-build-isolation", "--target", str(place), str(EXAMPLE))
    done = subprocess.run((*pip, *words), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def plugged(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, where this process looks for packages."""
    monkeypatch.syspath_prepend(str(installed))
    yield installed
    sys.modules.pop(MODULE, None)


class LocaltunnelBench(DriverBench):
    engine = "localtunnel"
    program = "lt"
    cannot: ClassVar = {"tcp": "it carries HTTP only"}

    async def start(self) -> None:
        path = f"{packages() / '.bin'}{os.pathsep}{os.environ['PATH']}"
        self.stack.enter_context(mock.patch.dict(os.environ, PATH=path))
        self.server = LocaltunnelServer(self.home)
        self.stack.push_async_callback(self.server.stop)
        await self.server.start()

    async def cut(self) -> None:
        await self.server.stop()

    async def mend(self) -> None:
        await self.server.start()

    def far_end(self) -> list[int]:
        return [self.server.pid]

    def options(self) -> Options:
        # npm's server answers who asks for any name with its welcome page, so one is asked for.
        return {"via": self.server.where, "subdomain": "benchmark"}

    def hostile_options(self, text: str) -> list[Options]:
        return [{**self.options(), key: text} for key in ("via", "subdomain")]

    async def connect(self, url: str) -> Any:
        """As a browser does: names below ``localhost`` are this machine."""
        assert DOMAIN in url
        return await super().connect(self.server.where)


class TestLocaltunnel(DriverSuite):
    @pytest.fixture
    async def bench(
        self, tmp_path: Path, runtime: Path, plugged: Path
    ) -> AsyncIterator[DriverBench]:
        async with LocaltunnelBench(tmp_path, runtime) as bench:
            yield bench


@pytest.fixture
async def bench(tmp_path: Path, runtime: Path, plugged: Path) -> AsyncIterator[LocaltunnelBench]:
    async with LocaltunnelBench(tmp_path, runtime) as bench:
        yield bench


def test_nothing_but_its_entry_point_makes_it_known(plugged: Path) -> None:
    assert "localtunnel" not in registry.BUILT_IN
    assert "localtunnel" not in registry._registered
    assert "localtunnel" in registry.known()
    assert MODULE not in sys.modules
    driver = registry.load("localtunnel")
    assert type(driver).__module__ == MODULE
    assert Path(sys.modules[MODULE].__file__ or "").parent == plugged


async def test_a_name_that_was_asked_for_is_kept_although_our_own_ghost_holds_it(
    bench: LocaltunnelBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", {**bench.options(), "subdomain": "tools"})
        assert url_of(tunnel) == bench.server.url("tools")
        changes = tunnel.events()
        os.kill(bench.child(tunnel), 9)
        await change(changes, lambda it: it["event"] == "live")
        assert url_of(tunnel) == bench.server.url("tools")
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_a_name_of_somebody_else_is_told_and_nothing_else_is_taken(
    bench: LocaltunnelBench,
) -> None:
    wanted = {**bench.options(), "subdomain": "theirs"}
    async with HttpOrigin() as origin:
        theirs = await bench.open(f"{origin.port}", wanted)
        error = await refusal(bench, wanted, timeout=4.0)
        assert "the name theirs to somebody else" in error.message
        assert "subdomain" in str(error.hint)
        assert (await ask(bench, url_of(theirs), "/", bearer(theirs))).status == 200


async def test_a_server_that_is_not_there_is_told_as_such(bench: LocaltunnelBench) -> None:
    await bench.server.stop()
    error = await refusal(bench, bench.options(), timeout=4.0)
    assert "ECONNREFUSED" in error.message, error


async def test_another_program_of_that_name_is_told_apart(
    bench: LocaltunnelBench, tmp_path: Path
) -> None:
    write_stub(tmp_path / "lt", 'print("lt, the line tracer 2.0.2")')
    site = bench.site(bench.options())
    with mock.patch.dict(os.environ, PATH=str(tmp_path)):
        found = await bench.driver().detect(bench.site(site.options))
    assert not found.is_usable
    assert "another program" in found.why_not


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("tcp://127.0.0.1:22 --public --for 30m", "it carries HTTP only"),
        ("3001 --gate ip:192.0.2.0/24", "nobody believable"),
    ],
)
async def test_open_refuses_what_localtunnel_cannot_do(
    plugged: Path, tmp_path: Path, words: str, why: str
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(plugged),
        "PATH": f"{packages() / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "UNDERPASS_STATE_DIR": str(tmp_path / "state"),
        "UNDERPASS_RUNTIME_DIR": str(tmp_path / "run"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", "open", *words.split(), "--engine", "localtunnel"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    async with asyncio.timeout(60.0):
        told, _ = await process.communicate()
    assert process.returncode == 7, told.decode()
    assert "engine-cannot" in told.decode()
    assert why in " ".join(told.decode().split())
