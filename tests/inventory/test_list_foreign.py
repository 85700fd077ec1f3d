"""``list --foreign`` beside real programs of others, and beside our own."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.e2e.stage import Stage

from underpass.inventory.hidden import IN_WORDS
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.sshd import free_port

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def theirs(far: Any) -> AsyncIterator[Start]:
    """Starts ssh as somebody would who does not know us."""
    server = await far.server()
    config = far.home / "theirs"
    config.write_text(
        f"UserKnownHostsFile {far.known_hosts}\nIdentityFile {far.keys.known}\nBatchMode yes\n"
        f"Port {server.port}\nHostName 127.0.0.1\n"
    )
    started: list[asyncio.subprocess.Process] = []

    async def start(*words: str, program: str = "ssh") -> asyncio.subprocess.Process:
        started.append(
            await asyncio.create_subprocess_exec(
                *(program, *(("-M", "0") if program == "autossh" else ())),
                *("-F", str(config), *words),
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "AUTOSSH_GATETIME": "0"},
            )
        )
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        await process.wait()


async def seen(stage: Stage, pid: int) -> list[dict[str, Any]]:
    """What is told of one process, as soon as it is told."""
    async with asyncio.timeout(20.0):
        while True:
            done = await stage.run("list", "--foreign", "--json")
            assert done.code == 0, done.err
            assert done.json["schema"] == "underpass/v1/foreign"
            found = [each for each in done.json["tunnels"] if each["pid"] == pid]
            if found:
                return found


async def test_a_remote_forward_of_others_is_told_with_all_that_is_known(
    stage: Stage, theirs: Start
) -> None:
    began = time.time()
    port = free_port()
    process = await theirs("-N", "-R", f"127.0.0.1:{port}:localhost:3001", "far.example")
    (found,) = await seen(stage, process.pid)
    assert began - 1.5 < found.pop("since") < time.time() + 0.5
    assert found == {
        "engine": "ssh",
        "where": f"pid {process.pid}",
        "pid": process.pid,
        "exposes": "localhost:3001",
        "public": f"far.example 127.0.0.1:{port}",
        "owner": getpass.getuser(),
        "risks": ["whoever finds its address comes in: no gate of ours stands in front"],
    }


async def test_a_local_forward_for_everybody_is_told_as_a_risk(stage: Stage, theirs: Start) -> None:
    wide, narrow = free_port(), free_port()
    process = await theirs(
        *("-N", "-L", f"0.0.0.0:{wide}:db:5432", "-D", f"127.0.0.1:{narrow}", "far.example")
    )
    async with asyncio.timeout(20.0):
        while True:
            told = await seen(stage, process.pid)
            if len(told[0]["risks"]) == 2:  # its words, and its socket as soon as it listens
                break
    database, socks = told
    assert database["exposes"] == "db:5432 as far.example sees it"
    assert (
        f"other machines of this network can use it: it listens at 0.0.0.0:{wide}"
        in (database["risks"][0])
    )
    assert database["risks"][1] == f"it listens for other machines, too: 0.0.0.0:{wide}"
    assert socks["exposes"] == "every address that far.example reaches, by SOCKS"
    assert not any("no gate" in risk for risk in socks["risks"])


@pytest.mark.skipif(
    shutil.which("autossh") is None and not os.environ.get("CI"), reason="no autossh"
)
async def test_autossh_and_its_ssh_are_one_tunnel(stage: Stage, theirs: Start) -> None:
    port = free_port()
    process = await theirs(
        *("-N", "-R", f"127.0.0.1:{port}:localhost:3001", "far.example"), program="autossh"
    )
    (found,) = await seen(stage, process.pid)
    assert found["exposes"] == "localhost:3001"
    done = await stage.run("list", "--foreign", "--json")
    at = [each["pid"] for each in done.json["tunnels"] if str(port) in (each["public"] or "")]
    assert at == [process.pid]


async def test_a_token_among_words_is_shown_nowhere_and_told_as_a_risk(
    stage: Stage, theirs: Start
) -> None:
    secret = "t0kenOfPinggy"

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as mute:
        port = str(mute.sockets[0].getsockname()[1])
        words = ("-N", "-p", port, "-R", "0:localhost:8000", f"{secret}+http@a.pinggy.io")
        process = await theirs(*words)
        (found,) = await seen(stage, process.pid)
        assert (found["engine"], found["exposes"]) == ("ssh-service", "localhost:8000")
        assert IN_WORDS in found["risks"]
        page = await stage.run("list", "--foreign")
        assert str(process.pid) in page.out
        assert IN_WORDS in page.out
        assert secret not in page.out + page.err + str(found)
        process.kill()
        await process.wait()


async def test_our_own_are_not_told(far: Any, stage: Stage, theirs: Start) -> None:
    options = far.options()
    via = options.pop("via")
    given = [
        word for key, value in options.items() for word in ("--engine-option", f"{key}={value}")
    ]
    control = await theirs("-N", "-R", f"127.0.0.1:{free_port()}:localhost:3001", "far.example")
    async with HttpOrigin() as origin:
        tunnel = await stage.open(str(origin.port), "--via", f"ssh:{via}", *given)
        reach = await stage.start(
            *("reach", f"127.0.0.1:{origin.port}", "--via", f"ssh:{via}", *given),
            *("--expect", "http", "--json"),
        )
        await reach.event("ready")
        await seen(stage, control.pid)
        done = await stage.run("list", "--foreign", "--json")
        mine = [each for each in done.json["tunnels"] if str(stage.runtime) in str(each)]
        assert mine == []
        served = await stage.run("list", "--json")
        assert [each["engine"] for each in served.json["tunnels"]] == ["ssh"]
        assert await reach.stop() == 130
        assert await tunnel.stop() == 130
        assert await stage.leftovers() == []
