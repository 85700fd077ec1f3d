"""What the ssh driver plans, and the ways of ssh against real servers."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.visitors import get

from underpass.assembly import OpenTunnel, open_tunnel
from underpass.drivers.errors import EngineAway, EngineCannot, EngineOptionInvalid, EngineRefused
from underpass.drivers.plans import DoorAddress, Site
from underpass.drivers.ssh.driver import SshDriver
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec
from underpass.testing.hostile import HOSTILE
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.sshd import free_port

Open = Callable[..., Awaitable[OpenTunnel]]


def site(**options: str) -> Site:
    door = DoorAddress(unix=Path("/run/up/door.sock"))
    return Site("tools", Path("/run/up"), options=options, environment={}, door=door)


@pytest.fixture
async def opened(far: Any, place: Path, tmp_path: Path) -> AsyncIterator[Open]:
    tunnels: list[OpenTunnel] = []

    async def opened(origin: HttpOrigin, timeout: float = 20.0, **more: str) -> OpenTunnel:
        options = OpenOptions(
            state_dir=tmp_path / "state",
            runtime_dir=place,
            engine_options=tuple(far.options(**more).items()),
            timeout=timeout,
        )
        tunnels.append(await open_tunnel(parse_spec(f"{origin.port} --engine ssh"), options))
        return tunnels[-1]

    yield opened
    for tunnel in tunnels:
        await tunnel.close()


async def wait(changes: Any, event: str) -> dict[str, Any]:
    async with asyncio.timeout(25.0):
        async for change in changes:
            if change["event"] == event:
                return dict(change)
    raise AssertionError(f"no {event!r} before the end")


def bearer(tunnel: OpenTunnel) -> dict[str, str]:
    assert tunnel.access.token is not None
    return {"Authorization": f"Bearer {tunnel.access.token.reveal()}"}


# Plans


def test_the_words_hold_no_host_and_no_user_and_the_file_holds_the_rules() -> None:
    plan = SshDriver().plan(parse_spec("3001"), site(via="alice@bastion,bob@[2001:db8::7]:2222"))
    assert plan.argv == (
        *("ssh", "-N", "-T", "-F", "/run/up/ssh.conf", "-o", "LogLevel=DEBUG1"),
        *("-o", "ControlMaster=yes", "-S", "/run/up/ctl"),
        *("-R", "127.0.0.1:0:/run/up/door.sock", "hop-1"),
    )
    assert plan.files[0].mode == 0o600
    assert plan.files[0].content.decode() == (
        "Host hop-0\n  hostname bastion\n  user alice\n"
        "Host hop-1\n  hostname 2001:db8::7\n  user bob\n  port 2222\n  proxyjump hop-0\n"
        "Host *\n  BatchMode yes\n  ExitOnForwardFailure yes\n  ServerAliveInterval 3\n"
        "  ServerAliveCountMax 2\n  TCPKeepAlive yes\n  ConnectTimeout 10\n  ForwardAgent no\n"
        "  ForwardX11 no\n  PermitLocalCommand no\n  RequestTTY no\n  UpdateHostKeys no\n"
        "  StreamLocalBindUnlink yes\n  StreamLocalBindMask 0177\n  ControlPersist no\n"
        "  StrictHostKeyChecking yes\n"
    )
    assert plan.visitors == "a port of bob@[2001:db8::7]:2222, for programs on that host only"


def test_a_plan_is_pure() -> None:
    spec, here = parse_spec("3001"), site(via="alice@bastion")
    assert SshDriver().plan(spec, here) == SshDriver().plan(spec, here)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"port": "8080"}, "http://127.0.0.1:8080"),
        ({"bind": "::1", "port": "8080"}, "http://[::1]:8080"),
        ({"bind": "0.0.0.0", "port": "8080"}, "http://bastion:8080"),
        ({"url": "https://app.example.com", "port": "8080"}, "https://app.example.com"),
    ],
)
def test_the_public_address_follows_the_options(options: dict[str, str], url: str) -> None:
    plan = SshDriver().plan(parse_spec("3001"), site(via="alice@bastion", **options))
    assert plan.url == url
    assert plan.secure == url.startswith("https")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("3001 --gate ip:10.0.0.0/8", "the ip gate"),
        ("tcp://127.0.0.1:5432", "a bearer gate on a tcp tunnel"),
        ("tcp://127.0.0.1:5432 --gate ip:10.0.0.0/8", "the ip gate"),
        ("3001 --tls passthrough", "--tls passthrough"),
    ],
)
def test_what_ssh_cannot_support_is_refused_when_planning(words: str, why: str) -> None:
    with pytest.raises(EngineCannot, match=why):
        SshDriver().plan(parse_spec(words), site(via="alice@bastion"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "'via' of ssh: it is needed"),
        ({"via": "a", "speed": "9"}, "'speed' of ssh: known are via, bind"),
        ({"via": "a", "bind": "localhost"}, "it is an IP address"),
        ({"via": "a", "port": "65536"}, "between 0 and 65535"),
        ({"via": "a", "identity": "key"}, "it is a whole path"),
        ({"via": "a", "identity": '/k"\nProxyCommand id'}, "it is a whole path"),
        ({"via": "a", "trust": "no"}, "it is one of pinned, new"),
        ({"via": "a", "url": "https://x"}, "give port, too"),
        ({"via": ",".join("abcdefghi")}, "more than 8 hosts"),
    ],
)
def test_wrong_options_are_told_before_anything_is_started(
    options: dict[str, str], why: str
) -> None:
    with pytest.raises(EngineOptionInvalid, match=re.escape(why)):
        SshDriver().plan(parse_spec("3001"), site(**options))


def test_no_hostile_option_adds_a_keyword_to_the_configuration() -> None:
    driver, spec = SshDriver(), parse_spec("3001")

    def keywords(**options: str) -> set[str]:
        lines = driver.plan(spec, site(**options)).files[0].content.decode().splitlines()
        return {line.split()[0].lower() for line in lines}

    full = {"via": "a@b:1,c@d:2", "identity": "/i", "certificate": "/c", "known-hosts": "/k"}
    allowed = keywords(**full)
    for text in HOSTILE:
        for option in ("via", "identity", "certificate", "known-hosts"):
            with suppress(EngineOptionInvalid):
                assert keywords(**{**full, option: text}) <= allowed, text


# Against real servers


async def test_a_port_that_was_chosen_is_the_same_after_the_server_restarted(
    far: Any, opened: Open
) -> None:
    server, port = await far.server(), free_port()
    async with HttpOrigin() as origin:
        tunnel = await opened(origin, port=str(port))
        assert tunnel.url == f"http://127.0.0.1:{port}"
        changes = tunnel.events()
        await server.stop()
        await wait(changes, "link-lost")
        await server.start()
        await wait(changes, "live")
        assert (await get(f"http://127.0.0.1:{port}", bearer(tunnel))).status == 200


async def test_a_port_that_sshd_chose_anew_is_announced(far: Any, opened: Open) -> None:
    server = await far.server()
    async with HttpOrigin() as origin:
        tunnel = await opened(origin)
        former, changes = tunnel.url, tunnel.events()
        assert former is not None
        await server.stop()
        await wait(changes, "link-lost")
        holder = await asyncio.start_server(
            lambda reader, writer: writer.close(), "127.0.0.1", int(former.rpartition(":")[2])
        )
        async with holder:
            await server.start()
            changed = await wait(changes, "address-changed")
            live = await wait(changes, "live")
        assert changed["address"] == live["tunnel"]["url"] == tunnel.url != former


async def test_a_port_that_is_taken_on_127_0_0_1_is_not_had_on_the_other_loopback_address(
    far: Any, opened: Open
) -> None:
    server = await far.server()
    async with HttpOrigin() as holder, HttpOrigin() as origin:
        # Control: where no address is said, ::1 is enough for sshd, and visitors meet another.
        careless = await asyncio.create_subprocess_exec(
            *("ssh", "-v", "-F", "none", "-N", "-o", "BatchMode=yes", "-p", str(server.port)),
            *("-o", f"UserKnownHostsFile={far.known_hosts}", "-o", "ExitOnForwardFailure=yes"),
            *("-i", str(far.keys.known), "-R", f"{holder.port}:127.0.0.1:{origin.port}"),
            f"{server.user}@{server.host}",
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert careless.stderr is not None
            async with asyncio.timeout(20.0):
                async for line in careless.stderr:
                    assert b"remote port forwarding failed" not in line
                    if b"remote forward success" in line:
                        break
        finally:
            careless.kill()
            await careless.communicate()
        with pytest.raises(EngineAway, match="does not give us port") as refused:
            await opened(origin, port=str(holder.port), timeout=3.0)
        assert refused.value.reason == "port-taken"


async def test_three_hosts_are_jumped_over_and_the_last_one_has_the_port(
    far: Any, opened: Open
) -> None:
    for _ in range(3):
        await far.server()
    async with HttpOrigin() as origin:
        tunnel = await opened(origin)
        assert (await get(str(tunnel.url), bearer(tunnel))).status == 200


async def test_a_frozen_far_end_is_noticed_and_its_thaw_is(far: Any, opened: Open) -> None:
    server = await far.server()
    async with HttpOrigin() as origin:
        tunnel = await opened(origin)
        changes, loop = tunnel.events(), asyncio.get_running_loop()
        frozen, began = server.sessions(), loop.time()
        for process in frozen:
            process.suspend()
        try:
            await wait(changes, "failing")
            assert loop.time() - began < 25.0
        finally:
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        await wait(changes, "live")
        assert (await get(str(tunnel.url), bearer(tunnel))).status == 200


async def test_an_open_bind_address_is_proved_directly(far: Any, opened: Open) -> None:
    await far.server()
    port = free_port()
    async with HttpOrigin() as origin:
        tunnel = await opened(origin, bind="0.0.0.0", port=str(port))
        layers = tunnel.verdict.to_dict()["layers"]
        assert tunnel.url == f"http://127.0.0.1:{port}"
        assert layers["name"]["status"] == "passed"


async def test_an_alias_of_the_user_means_what_her_configuration_says(
    far: Any, opened: Open, tmp_path: Path
) -> None:
    server = await far.server()
    config = tmp_path / "config"
    config.write_text(
        f"Host work\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {far.keys.known}\n"
        f"  UserKnownHostsFile {far.known_hosts}\n  LocalForward 127.0.0.1:{free_port()} x:1\n"
    )
    async with HttpOrigin() as origin:
        tunnel = await opened(
            origin, via="work", config=str(config), **{"identity": "", "known-hosts": ""}
        )
        assert (await get(str(tunnel.url), bearer(tunnel))).status == 200


@pytest.fixture
def agent(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent with no key in it."""
    sock = str(place) + ".agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", sock)
    yield
    process.kill()
    process.wait()
    Path(sock).unlink(missing_ok=True)


@pytest.mark.usefixtures("agent")
async def test_a_key_in_the_agent_is_enough(far: Any, opened: Open, tmp_path: Path) -> None:
    await far.server()
    for _ in range(100):  # the agent is there as soon as its socket is
        done = await asyncio.to_thread(
            subprocess.run, ["ssh-add", "-q", str(far.keys.known)], capture_output=True
        )
        if done.returncode == 0:
            break
        await asyncio.sleep(0.05)
    async with HttpOrigin() as origin:
        tunnel = await opened(origin, identity="")
        assert (await get(str(tunnel.url), bearer(tunnel))).status == 200


async def test_a_certificate_is_shown_where_the_key_alone_is_unknown(
    far: Any, opened: Open, tmp_path: Path
) -> None:
    sign = ["ssh-keygen", "-q", "-s", str(far.keys.known), "-I", "t", "-n", "root,user"]
    await asyncio.to_thread(subprocess.run, [*sign, f"{far.keys.unknown}.pub"], check=True)
    await far.server(f"TrustedUserCAKeys {far.keys.public}", "AuthorizedPrincipalsFile none")
    async with HttpOrigin() as origin:
        tunnel = await opened(
            origin,
            identity=str(far.keys.unknown),
            certificate=f"{far.keys.unknown}-cert.pub",
        )
        assert (await get(str(tunnel.url), bearer(tunnel))).status == 200


async def test_forwards_of_others_are_found_and_our_own_are_not(
    far: Any, opened: Open, place: Path
) -> None:
    server = await far.server()
    config = far.home / "theirs"
    config.write_text(
        f"UserKnownHostsFile {far.known_hosts}\nIdentityFile {far.keys.known}\nBatchMode yes\n"
    )
    port = free_port()
    theirs = await asyncio.create_subprocess_exec(
        *("ssh", "-F", str(config), "-N", "-R", f"127.0.0.1:{port}:127.0.0.1:1"),
        *("-p", str(server.port), f"{server.user}@127.0.0.1"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with HttpOrigin() as origin:
            tunnel = await opened(origin)
            here = replace(site(via="x"), directory=place / "engine-x", environment=os.environ)
            found = [
                each
                for each in await SshDriver().foreign(here)
                if each.where == f"pid {theirs.pid}" or str(place) in each.exposes
            ]
            assert [each.exposes for each in found] == ["127.0.0.1:1"]
            assert [each.public for each in found] == [f"127.0.0.1 127.0.0.1:{port}"]
            assert tunnel.verdict.ok
    finally:
        theirs.kill()
        await theirs.wait()


@pytest.mark.skipif(
    shutil.which("autossh") is None and not os.environ.get("CI"), reason="no autossh"
)
async def test_autossh_is_driven_where_somebody_insists(far: Any, opened: Open) -> None:
    await far.server()
    async with HttpOrigin() as origin:
        tunnel = await opened(origin, autossh="yes", port=str(free_port()))
        assert (await get(str(tunnel.url), bearer(tunnel))).status == 200


@pytest.mark.skipif(
    shutil.which("autossh") is None and not os.environ.get("CI"), reason="no autossh"
)
async def test_autossh_is_ended_when_it_would_ask_in_vain_for_ever(far: Any, opened: Open) -> None:
    await far.server()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with HttpOrigin() as origin:
        with pytest.raises(EngineRefused) as caught:
            await opened(origin, autossh="yes", identity=str(far.keys.unknown))
    assert caught.value.reason == "credential-refused"
    assert loop.time() - began < 15.0
