"""``open --via`` and ``reach --via`` as processes, against a real sshd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.stage import Stage
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin
from underpass.testing.sshd import free_port


@pytest.fixture
async def stage(tmp_path: Path, place: Path) -> AsyncIterator[Stage]:
    home = tmp_path / "home"
    home.mkdir()
    stage = Stage(home, place)
    yield stage
    await stage.strike()


def words(far: Any) -> list[str]:
    options = far.options()
    via = options.pop("via")
    given = [
        word for key, value in options.items() for word in ("--engine-option", f"{key}={value}")
    ]
    return ["--via", f"ssh:{via}", *given]


async def test_open_via_a_host_is_proved_visited_there_and_leaves_nothing(
    far: Any, stage: Stage
) -> None:
    await far.server()
    async with HttpOrigin() as origin:
        tunnel = await stage.open(str(origin.port), *words(far))
        assert tunnel.first["tunnel"]["engine"] == "ssh"
        assert tunnel.first["verdict"]["layers"]["gate"]["status"] == "passed"
        assert (await get(tunnel.url, tunnel.bearer)).status == 200
        assert (await get(tunnel.url)).status == 401
        shown = await stage.run("list", "--json")
        assert shown.json["tunnels"][0]["engine"] == "ssh"
        assert await tunnel.stop() == 130
        assert await stage.leftovers() == []


async def test_open_that_dies_by_kill_leaves_no_ssh_behind_and_its_files_go_later(
    far: Any, stage: Stage
) -> None:
    server = await far.server()
    async with HttpOrigin() as origin:
        tunnel = await stage.open(str(origin.port), *words(far))
        assert server.sessions()
        tunnel.process.kill()
        await tunnel.ended()
        async with asyncio.timeout(10.0):
            while server.sessions():  # noqa: ASYNC110  (nobody tells when processes end)
                await asyncio.sleep(0.02)
        # Its files go when the next of us begins.
        former = [path.name for path in stage.runtime.glob("engine-*")]
        assert len(former) == 1
        second = await stage.open(str(origin.port), *words(far))
        assert former[0] not in [path.name for path in stage.runtime.glob("engine-*")]
        assert await second.stop() == 130


async def test_reach_via_a_host_prints_where_and_ends_on_a_signal(far: Any, stage: Stage) -> None:
    await far.server()
    async with HttpOrigin() as origin:
        target = f"127.0.0.1:{origin.port}"
        reach = await stage.start("reach", target, *words(far), "--expect", "http", "--json")
        ready = await reach.event("ready")
        assert ready == {
            "schema": "underpass/v1/reach",
            "event": "ready",
            "target": target,
            "listen": ready["listen"],
            "detail": "it greets as http",
        }
        assert (await get(f"http://{ready['listen']}/here")).json["target"] == "/here"
        assert await reach.stop() == 130
        assert await stage.leftovers() == []


@pytest.mark.slow
async def test_reach_goes_on_at_the_same_port_after_the_machine_slept(
    far: Any, stage: Stage
) -> None:
    server = await far.server()
    async with HttpOrigin() as origin:
        target = f"127.0.0.1:{origin.port}"
        reach = await stage.start("reach", target, *words(far), "--expect", "http", "--json")
        listen = (await reach.event("ready"))["listen"]
        asleep = [psutil.Process(reach.pid), *psutil.Process(reach.pid).children(recursive=True)]
        for process in asleep:
            process.suspend()
        # Nobody here sees how long it takes; the far host has given us up when we wake.
        async with asyncio.timeout(40.0):
            while server.sessions():  # noqa: ASYNC110  (nobody tells when processes end)
                await asyncio.sleep(0.02)
        for process in asleep:
            with suppress(psutil.NoSuchProcess):  # one that has woken may have ended another
                process.resume()
        await reach.event("link-lost")
        await reach.event("ready")
        assert (await get(f"http://{listen}/awake")).json["target"] == "/awake"
        assert await reach.stop() == 130
        assert await stage.leftovers() == []


async def test_reach_writes_the_same_for_ssh_s_own_configuration(stage: Stage) -> None:
    done = await stage.run(
        *("reach", "db.internal:5432", "--via", "ssh:alice@bastion,bob@inner:2222"),
        *("--engine-option", "identity=/home/alice/.ssh/work", "--ssh-config"),
    )
    assert done.code == 0
    assert done.out == (
        "Host db.internal-reach-hop-0\n"
        "  HostName bastion\n"
        "  User alice\n"
        '  IdentityFile "/home/alice/.ssh/work"\n'
        "  IdentitiesOnly yes\n"
        "Host db.internal-reach\n"
        "  HostName inner\n"
        "  User bob\n"
        "  Port 2222\n"
        '  IdentityFile "/home/alice/.ssh/work"\n'
        "  IdentitiesOnly yes\n"
        "  ProxyJump db.internal-reach-hop-0\n"
        "  LocalForward 127.0.0.1:5432 db.internal:5432\n"
        "  ExitOnForwardFailure yes\n"
        "  ServerAliveInterval 3\n"
        "  ServerAliveCountMax 2\n"
    )


async def test_what_is_written_is_what_ssh_itself_follows_aliases_and_all(
    far: Any, stage: Stage, tmp_path: Path
) -> None:
    first, second = await far.server(), await far.server()
    configuration = tmp_path / "config"
    configuration.write_text(
        f"Host bastion\n HostName 127.0.0.1\n Port {first.port}\n User {first.user}\n"
        f"Host inner\n HostName 127.0.0.1\n Port {second.port}\n User {second.user}\n"
        "Host *\n UserKnownHostsFile /nowhere\n"
    )
    given = {"known-hosts": far.known_hosts, "identity": far.keys.known, "config": configuration}
    port = free_port()
    async with HttpOrigin() as origin:
        done = await stage.run(
            *("reach", f"127.0.0.1:{origin.port}", "--via", "ssh:bastion,inner", "--ssh-config"),
            *("--listen", f"127.0.0.1:{port}"),
            *(word for key in given for word in ("--engine-option", f"{key}={given[key]}")),
        )
        assert done.code == 0, done.err
        written = tmp_path / "fragment"
        written.write_text(done.out)
        by_hand = await asyncio.create_subprocess_exec(
            *("ssh", "-F", str(written), "-N", "-o", "BatchMode=yes", "127.0.0.1-reach"),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(20.0):
                while True:
                    with suppress(OSError):
                        answer = await get(f"http://127.0.0.1:{port}/by-hand")
                        break
                    assert by_hand.returncode is None
                    await asyncio.sleep(0.05)  # ssh says it in its log only
        finally:
            by_hand.terminate()
            await by_hand.wait()
        assert answer.json["target"] == "/by-hand"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["open", "3001", "--via", "ssh:-oProxyCommand=id"], "engine-option-invalid"),
        (["open", "3001", "--via", "nowhere"], "usage"),
        (["open", "3001", "--engine", "teleport"], "engine-unknown"),
        (["open", "3001", "--engine", "ssh"], "engine-option-invalid"),
        (["open", "3001", "--gate", "ip:10.0.0.0/8", "--via", "ssh:host"], "engine-cannot"),
        (["open", "tcp://127.0.0.1:5432", "--via", "ssh:host"], "engine-cannot"),
        (["reach", "x:1", "--via", "relay:host"], "engine-cannot"),
        (["reach", "-oProxyCommand=id", "--via", "ssh:host"], "usage"),
        (["reach", "db:99999", "--via", "ssh:host"], "engine-option-invalid"),
        (["reach", "db:5432", "--via", "ssh:host", "--expect", "oracle"], "usage"),
    ],
)
async def test_bad_words_are_refused_before_anything_is_started(
    stage: Stage, command: list[str], code: str
) -> None:
    done = await stage.run(*command, "--json")
    assert done.code in (2, 7)
    assert json.loads((done.out + done.err).splitlines()[-1])["error"]["code"] == code
