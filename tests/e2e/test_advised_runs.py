"""What the advice prints is typed as it stands, and works: it opens, it is proved, it is undone."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.canary import record_secret
from tests.e2e.stage import Stage, Tunnel
from tests.e2e.visitors import get
from tests.edges.bore import BoreServer, need_bore, path_with_engines

from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import TcpEcho
from underpass.testing.sshd import SshKeys, SshServer, missing_for_sshd, write_known_hosts

SECRET = "advised-bore-secret-7f3c"


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[SshServer]:
    """A real sshd, which the user's own files know."""
    if (why := missing_for_sshd()) is not None and not os.environ.get("CI"):
        pytest.skip(why)
    async with AsyncExitStack() as stack:
        server = SshServer(tmp_path / "far", SshKeys(tmp_path / "ssh-keys"))
        stack.push_async_callback(server.stop)
        await server.start()
        yield server


async def answer(stage: Stage, way: str, *words: str) -> dict[str, Any]:
    """What is advised by this way."""
    done = await stage.run("advise", *words, "--json")
    assert done.code == 0, done.err
    return next(dict(one) for one in done.json["answers"] if one["way"] == way)


def command(advised: dict[str, Any], verb: str, part: str = "run") -> list[str]:
    """The words of its ``underpass VERB``, without the program."""
    found = [step["argv"][1:] for step in advised[part] if "argv" in step]
    return next(words for words in found if words[0] == verb)


async def undone(stage: Stage, advised: dict[str, Any], tunnel: Tunnel) -> None:
    words = ["tools" if word == "NAME" else word for word in command(advised, "close", "undo")]
    assert (await stage.run(*words)).code == 0
    await tunnel.ended()
    assert (await stage.run("list", "--json")).json["tunnels"] == []


def named(words: list[str]) -> list[str]:
    """With the words in capitals filled in."""
    return ["tools" if word == "NAME" else word for word in words][1:]


async def test_by_a_relay_of_one_s_own(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    ask = (str(origin.port), "--for", "1h", "--auth", "token", "--relay", relay.url)
    advised = await answer(stage, "relay", *ask)
    assert advised["driven"]
    tunnel = await stage.open(*named(command(advised, "open")), *relay.link[2:])
    assert (await get(tunnel.url, tunnel.bearer)).status == 200
    assert (await get(tunnel.url)).status == 401
    await undone(stage, advised, tunnel)


async def test_what_is_open_here_is_measured_health(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    await stage.open(str(origin.port), "--name", "tools", *relay.link)
    advised = await answer(stage, "relay", str(origin.port), "--relay", relay.url)
    told = [reason["why"] for reason in advised["reasons"]]
    assert "lately measured healthy: the tunnel tools" in told


async def test_by_bore(stage: Stage, echo: TcpEcho, origin: HttpOrigin, tmp_path: Path):
    need_bore()
    record_secret("bore", SECRET)
    server = BoreServer(tmp_path, secret=SECRET)
    pick = random.SystemRandom().randint
    server.host = f"127.{pick(1, 254)}.{pick(1, 254)}.{pick(1, 254)}"
    stage.environment |= {"PATH": path_with_engines(), "BORE_SECRET": SECRET}
    await server.start()
    try:
        ask = (str(origin.port), "--for", "1h", "--auth", "token", "--via", server.host)
        advised = await answer(stage, "bore-own", *ask)
        tunnel = await stage.open(*named(command(advised, "open")))
        assert tunnel.first["tunnel"]["engine"] == "bore"
        assert (await get(tunnel.url, tunnel.bearer)).status == 200
        assert (await get(tunnel.url)).status == 401
        await undone(stage, advised, tunnel)
        ask = (f"tcp://127.0.0.1:{echo.port}", "--for", "1h", "--via", server.host)
        advised = await answer(stage, "bore-own", *ask)
        tunnel = await stage.open(*named(command(advised, "open")))
        assert tunnel.first["tunnel"]["gates"] == []
        await undone(stage, advised, tunnel)
    finally:
        await server.stop()


async def test_by_a_server_with_a_login(stage: Stage, origin: HttpOrigin, far: SshServer):
    ask = (str(origin.port), "--private", "--for", "1h", "--via", far.where)
    advised = await answer(stage, "ssh-remote", *ask)
    words = named(command(advised, "open"))
    # The far port is this one's own: both are on one machine here.
    words[words.index(f"port={origin.port}")] = "port=0"
    tunnel = await stage.open(*words, *known(stage, far))
    assert (await get(tunnel.url, tunnel.bearer)).status == 200
    assert (await get(tunnel.url)).status == 401
    await undone(stage, advised, tunnel)


async def test_a_far_service_made_local(stage: Stage, origin: HttpOrigin, far: SshServer):
    there = f"tcp://127.0.0.1:{origin.port}"
    advised = await answer(stage, "ssh-local", there, "--task", "reach", "--via", far.where)
    words = command(advised, "reach")
    # The same port is taken by the service itself: both are on one machine here.
    words[words.index("--listen") + 1] = "127.0.0.1:0"
    reached = await stage.start(*words, "--json", "--expect", "http", *known(stage, far))
    first = await reached.event("ready")
    address = first["listen"]
    assert (await get(f"http://{address}/")).status == 200
    assert await reached.stop() == 130


def known(stage: Stage, far: SshServer) -> tuple[str, ...]:
    """What stands in a person's ~/.ssh, said by options."""
    hosts = write_known_hosts(stage.home / "known_hosts", far)
    identity = stage.home / "ssh-keys" / "id_known"
    options = (f"identity={identity}", f"known-hosts={hosts}", "config=none")
    return tuple(word for option in options for word in ("--engine-option", option))
