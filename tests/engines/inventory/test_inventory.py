"""``list --foreign`` beside the real programs of others, and beside a bore of our own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.stage import Done, Stage
from tests.edges.bore import BoreServer, engines_bin, need_bore, path_with_engines
from tests.edges.localtunnel import LocaltunnelServer, packages
from tests.edges.ngrok_agent import install_agent

from underpass.inventory.hidden import IN_WORDS
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.sshd import free_port

pytestmark = [
    pytest.mark.xdist_group("bore"),  # one at a time at bore's fixed control port
    pytest.mark.timeout(150),
]

SECRET = "hunter22hunter22"
PATIENCE = 60.0
"""Seconds in which the answer must come; each list may take three on a crowded machine."""

NOWHERE = "127.0.0.1:9"  # the port of discard: nobody answers, and everybody tries again

Start = Callable[..., Awaitable[int]]


@pytest.fixture
async def stage(tmp_path: Path, runtime: Path) -> AsyncIterator[Stage]:
    (tmp_path / "home").mkdir()
    stage = Stage(tmp_path / "home", runtime)
    yield stage
    await stage.strike()


@pytest.fixture
async def theirs(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a program as somebody would who does not know us; its process id."""
    started: list[asyncio.subprocess.Process] = []

    async def start(program: str, *words: str, path: Path | None = None) -> int:
        place = path or engines_bin()
        if not (place / program).exists():
            why = f"no {program}: make engines"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        process = await asyncio.create_subprocess_exec(
            *(str(place / program), *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        started.append(process)
        return process.pid

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


async def told(stage: Stage) -> list[dict[str, Any]]:
    """Everything that is told now."""
    done = await stage.run("list", "--foreign", "--json")
    assert SECRET not in done.out + done.err
    assert done.json["broken"] == []
    return list(done.json["tunnels"])


async def answered(stage: Stage, engine: str) -> Done:
    """A list for which the engine's driver answered in time; a crowded machine may take some."""
    async with asyncio.timeout(PATIENCE):
        while True:
            done = await stage.run("list", "--foreign", "--json")
            if engine not in done.json["silent"]:
                return done


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes everything and answers nothing."""
    await reader.read()
    writer.close()


async def seen(stage: Stage, pid: int) -> dict[str, Any]:
    """The one tunnel of a process, as soon as it is told."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = [each for each in await told(stage) if each["pid"] == pid]
            if found:
                (only,) = found
                assert only["risks"]
                assert only["since"]
                return dict(only)


async def test_bore_of_others_is_told_and_ours_is_not(
    stage: Stage, theirs: Start, tmp_path: Path
) -> None:
    need_bore()
    server = BoreServer(tmp_path, secret=SECRET)
    await server.start()
    try:
        pid = await theirs("bore", "local", "3001", "--to", server.host, "-s", SECRET)
        async with HttpOrigin() as origin:
            ours = await stage.open(
                *(str(origin.port), "--via", f"bore:{server.host}"),
                PATH=path_with_engines(),
                BORE_SECRET=SECRET,
            )
            found = await seen(stage, pid)
            assert (found["engine"], found["exposes"]) == ("bore", "localhost:3001")
            assert found["public"] == server.host
            assert IN_WORDS in found["risks"]
            carriers = {each.pid for each in psutil.Process(ours.process.pid).children(True)}
            assert carriers
            tunnels = (await answered(stage, "bore")).json["tunnels"]
            assert found in tunnels
            assert not carriers & {each["pid"] for each in tunnels}
            assert await ours.stop() == 130
    finally:
        await server.stop()


async def test_cloudflared_of_others_is_told(stage: Stage, theirs: Start) -> None:
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as mute:
        service = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        pid = await theirs(
            *("cloudflared", "tunnel", "--no-autoupdate", "--quick-service", service),
            *("--url", "http://127.0.0.1:3001"),
        )
        found = await seen(stage, pid)
        assert (found["engine"], found["exposes"]) == ("cloudflare", "http://127.0.0.1:3001")
        os.kill(pid, 9)
        async with asyncio.timeout(10.0):
            while any(each["pid"] == pid for each in await told(stage)):
                pass


async def test_frpc_of_others_is_told(stage: Stage, theirs: Start) -> None:
    port = str(free_port())
    await theirs("frps", "--bind-addr", "127.0.0.1", "--bind-port", port, "--token", SECRET)
    words = ("tcp", "-s", "127.0.0.1", "-P", port, "-l", "3001", "-n", "web", "-t", SECRET)
    # It ends where its server is not there yet.
    async with asyncio.timeout(PATIENCE):
        while True:
            pid = await theirs("frpc", *words)
            if found := [each for each in await told(stage) if each["pid"] == pid]:
                break
    assert (found[0]["engine"], found[0]["exposes"]) == ("frp", "127.0.0.1:3001")
    assert IN_WORDS in found[0]["risks"]


async def test_chisel_of_others_is_told(stage: Stage, theirs: Start) -> None:
    pid = await theirs(
        *(
            "chisel",
            "client",
            "--auth",
            f"me:{SECRET}",
            f"http://{NOWHERE}",
            "R:8080:localhost:3001",
        )
    )
    found = await seen(stage, pid)
    assert (found["engine"], found["exposes"]) == ("chisel", "localhost:3001")
    assert found["public"] == f"{NOWHERE} 8080"
    assert IN_WORDS in found["risks"]


async def test_ngrok_of_others_is_told(stage: Stage, theirs: Start, tmp_path: Path) -> None:
    (tmp_path / "ngrok.yml").write_text(
        f"server_addr: {NOWHERE}\nweb_addr: 127.0.0.1:0\nupdate: false\n"
    )
    place = install_agent(tmp_path / "bin")
    config = f"-config={tmp_path / 'ngrok.yml'}"
    pid = await theirs(
        "ngrok", "http", config, f"-authtoken={SECRET}", "-log=stdout", "3001", path=place
    )
    found = await seen(stage, pid)
    assert (found["engine"], found["exposes"]) == ("ngrok", "3001")
    assert IN_WORDS in found["risks"]


async def test_localtunnel_of_others_is_told_also_without_its_driver(
    stage: Stage, theirs: Start, tmp_path: Path
) -> None:
    home = packages()
    server = LocaltunnelServer(tmp_path)
    await server.start()
    try:
        words = ("--port", "3001", "--host", server.where, "--subdomain", "theirs")
        pid = await theirs("lt", *words, path=home / ".bin")
        found = await seen(stage, pid)
        assert (found["engine"], found["exposes"]) == ("localtunnel", "localhost:3001")
        assert found["public"] == f"theirs.127.0.0.1:{server.port}"
    finally:
        await server.stop()


@pytest.mark.root
async def test_a_wireguard_interface_of_others_is_told(stage: Stage, theirs: Start) -> None:
    go = shutil.which("wireguard-go")
    if go is None or shutil.which("wg") is None:
        why = "no wireguard-go or wg: make packages"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    name = f"wgf{os.getpid() % 10_000}"
    await theirs("wireguard-go", "--foreground", name, path=Path(go).parent)
    async with asyncio.timeout(PATIENCE):
        while True:
            done = await answered(stage, "wireguard")
            where = {each["where"]: each for each in done.json["tunnels"]}
            if f"interface {name}" in where:
                break
    assert where[f"interface {name}"]["exposes"] == "the interface to 0 peers"
    assert where[f"interface {name}"]["risks"]


@pytest.mark.root
async def test_a_program_of_another_user_and_of_another_network_is_told_with_its_owner(
    stage: Stage, theirs: Start
) -> None:
    chisel = engines_bin() / "chisel"
    if not chisel.exists():
        why = "no chisel: make engines"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="up-") as place:
        os.chmod(place, 0o755)  # where another user may enter, unlike our own
        shutil.copy(chisel, place)
        pid = await theirs(
            *("unshare", "--net", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
            *(f"{place}/chisel", "client", "--auth", f"me:{SECRET}", f"http://{NOWHERE}"),
            "R:8080:localhost:3001",
            path=Path("/usr/bin"),
        )
        found = await seen(stage, pid)
        assert (found["engine"], found["exposes"]) == ("chisel", "localhost:3001")
        assert found["owner"] == pwd.getpwuid(65_534).pw_name
        assert IN_WORDS in found["risks"]
