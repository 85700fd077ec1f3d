"""Forwards at an ssh that somebody else runs, and visitors by a Unix socket of the far host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.ssh.test_driver import bearer, wait
from tests.drivers.ssh.test_reach import echo
from tests.e2e.visitors import get

from underpass.assembly import OpenTunnel, open_tunnel
from underpass.assembly.via import OpenVia, open_via
from underpass.drivers.errors import EngineAway, EngineOptionInvalid
from underpass.drivers.plans import Detection, Site
from underpass.drivers.ssh.driver import SshDriver
from underpass.model.options import OpenOptions, ViaOptions
from underpass.model.spec import parse_spec
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import TcpEcho


class Master:
    """An ssh that its user started and signed in, with a control socket."""

    def __init__(self, far: Any, control: Path) -> None:
        self.control = control
        self._far = far
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        (server,) = self._far.servers
        self._process = await asyncio.create_subprocess_exec(
            *("ssh", "-F", "none", "-N", "-M", "-S", str(self.control), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={self._far.known_hosts}", "-i", str(self._far.keys.known)),
            *("-p", str(server.port), f"{server.user}@{server.host}"),
            stdin=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20.0):
            while True:
                if self.control.exists():
                    return
                await asyncio.sleep(0.02)  # nobody says when a socket appears

    async def stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
            self._process = None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None


@pytest.fixture
async def master(far: Any, place: Path) -> AsyncIterator[Master]:
    await far.server()
    master = Master(far, place / "theirs")
    await master.start()
    yield master
    await master.stop()


Reach = Callable[..., Awaitable[OpenVia]]
Open = Callable[..., Awaitable[OpenTunnel]]


@pytest.fixture
def runtime(place: Path) -> Path:
    path = place / "run"
    path.mkdir(mode=0o700)
    return path


def without_key(far: Any, **more: str) -> tuple[tuple[str, str], ...]:
    """The way, with a key that the server refuses: only the shared ssh is signed in."""
    return tuple({**far.options(identity=str(far.keys.unknown)), **more}.items())


@pytest.fixture
async def reach(far: Any, runtime: Path) -> AsyncIterator[Reach]:
    opened: list[OpenVia] = []

    async def reach(target: str, **more: str) -> OpenVia:
        options = ViaOptions(
            target=target,
            engine="ssh",
            engine_options=without_key(far, **more),
            runtime_dir=runtime,
            expect="any" if target != "socks" else "",
            timeout=20.0,
        )
        opened.append(await open_via(options))
        return opened[-1]

    yield reach
    for each in opened:
        await each.close()
    assert os.listdir(runtime) == []


@pytest.fixture
async def opened(far: Any, runtime: Path, tmp_path: Path) -> AsyncIterator[Open]:
    tunnels: list[OpenTunnel] = []

    async def opened(
        origin: HttpOrigin, options: dict[str, str], timeout: float = 20.0
    ) -> OpenTunnel:
        how = OpenOptions(
            state_dir=tmp_path / "state",
            runtime_dir=runtime,
            engine_options=tuple(options.items()),
            timeout=timeout,
        )
        tunnels.append(await open_tunnel(parse_spec(f"{origin.port} --engine ssh"), how))
        return tunnels[-1]

    yield opened
    for tunnel in tunnels:
        await tunnel.close()


async def test_services_share_one_connection_and_each_ends_without_the_others(
    far: Any, master: Master, reach: Reach
) -> None:
    before = {each.pid for each in far.servers[0].sessions()}
    async with TcpEcho() as one, TcpEcho() as other:
        first = await reach(f"127.0.0.1:{one.port}", control=str(master.control))
        second = await reach(f"127.0.0.1:{other.port}", control=str(master.control))
        assert await echo(first.address, b"one") == b"one"
        assert await echo(second.address, b"other") == b"other"
        await first.close()
        assert await echo(second.address, b"still") == b"still"
        assert {each.pid for each in far.servers[0].sessions()} == before
        await second.close()
    assert master.is_alive


async def test_socks_is_shared_too(master: Master, reach: Reach) -> None:
    opened = await reach("socks", control=str(master.control))
    assert opened.greeted.ok
    await opened.close()
    assert master.is_alive


async def test_a_shared_ssh_that_comes_back_is_used_again_at_the_same_port(
    master: Master, reach: Reach
) -> None:
    async with TcpEcho() as origin:
        opened = await reach(f"127.0.0.1:{origin.port}", control=str(master.control))
        told: asyncio.Queue[str] = asyncio.Queue()
        watching = asyncio.create_task(opened.watch(lambda event, why: told.put_nowait(event)))
        try:
            await master.stop()
            async with asyncio.timeout(20.0):
                assert await told.get() == "link-lost"
                await master.start()
                assert await told.get() == "ready"
            assert await echo(opened.address, b"again") == b"again"
        finally:
            watching.cancel()


async def test_without_an_ssh_to_share_the_way_to_one_is_told(
    far: Any, reach: Reach, place: Path
) -> None:
    await far.server()
    with pytest.raises(EngineAway, match="no ssh with a connection answers") as refused:
        await reach("127.0.0.1:1", control=str(place / "nobody"))
    assert refused.value.reason == "master-away"
    assert refused.value.hint == f"start one: ssh -fNM -S {place / 'nobody'} HOST"


async def test_a_tunnel_on_a_shared_ssh_is_proved_and_taken_away_with_it(
    far: Any, master: Master, opened: Open
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await opened(origin, dict(without_key(far, control=str(master.control))))
        assert tunnel.url is not None
        assert (await get(tunnel.url, bearer(tunnel))).status == 200
        assert (await get(tunnel.url)).status == 401
        changes = tunnel.events()
        await master.stop()
        await wait(changes, "link-lost")
        await master.start()
        await wait(changes, "live")
        assert tunnel.url is not None
        assert (await get(tunnel.url, bearer(tunnel))).status == 200
        url = tunnel.url
        await tunnel.close()
        with pytest.raises(ConnectionRefusedError):
            await get(url)
    assert master.is_alive


async def test_the_user_s_own_control_path_is_found_by_ssh_itself(
    far: Any, master: Master, reach: Reach, tmp_path: Path
) -> None:
    (server,) = far.servers
    configuration = tmp_path / "config"
    configuration.write_text(
        f"Host bastion\n HostName {server.host}\n Port {server.port}\n"
        f" ControlPath {master.control}\n UserKnownHostsFile {far.known_hosts}\n"
    )
    async with TcpEcho() as origin:
        opened = await reach(
            f"127.0.0.1:{origin.port}", via="bastion", config=str(configuration), control="user"
        )
        assert await echo(opened.address, b"by alias") == b"by alias"
        await opened.close()
    assert master.is_alive


async def test_visitors_come_by_a_unix_socket_of_the_far_host_that_something_leads_to(
    far: Any, opened: Open, tmp_path: Path
) -> None:
    await far.server("StreamLocalBindUnlink yes")
    path = tmp_path / "app.sock"

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(path)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(lead, "127.0.0.1", 0) as front, HttpOrigin() as origin:
        url = f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
        options = far.options(bind=f"unix://{path}", url=url)
        tunnel = await opened(origin, options)
        assert tunnel.url == url
        assert (await get(url, bearer(tunnel))).status == 200
        assert (await get(url)).status == 401
        await tunnel.close()
        # What sshd left there is no hindrance to the next one.
        again = await opened(origin, options)
        assert (await get(url, bearer(again))).status == 200
        await again.close()


async def test_a_socket_that_the_far_host_does_not_give_is_told_with_what_to_do(
    far: Any, opened: Open, tmp_path: Path
) -> None:
    await far.server()
    path = tmp_path / "taken.sock"
    path.write_text("")
    options = far.options(bind=f"unix://{path}", url="http://127.0.0.1:9")
    async with HttpOrigin() as origin:
        with pytest.raises(EngineAway, match="does not give us the socket") as refused:
            await opened(origin, options, timeout=3.0)
    assert "StreamLocalBindUnlink yes" in (refused.value.hint or "")
    assert path.exists()


# Plans


def site(facts: dict[str, str] | None = None, **options: str) -> Site:
    detection = None if facts is None else Detection(True, "/usr/bin/ssh", facts=facts)
    return Site("tools", Path("/run/up"), options={"via": "a", **options}, detection=detection)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"bind": "unix:///run/a.sock"}, "give the url, too"),
        ({"bind": "unix://run/a.sock", "url": "https://a.example.com"}, "a whole path"),
        ({"bind": "unix:///run/a b", "url": "https://a.example.com"}, "a whole path"),
        (
            {"bind": "unix:///run/a", "url": "https://a.example.com", "port": "80"},
            "neither port nor control",
        ),
        ({"control": "ctl"}, "a whole path"),
        ({"control": "/run/ctl", "autossh": "yes"}, "not started by autossh"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(EngineOptionInvalid, match=why):
        SshDriver().plan(parse_spec("3001"), site(**options))


def test_no_program_is_run_where_one_is_shared_and_its_socket_must_be_known() -> None:
    plan = SshDriver().plan(parse_spec("3001"), site({"control": "/run/cm"}, control="user"))
    assert plan.argv == ()
    assert "it ends with the ssh that it shares, and comes back with it" in plan.limits
    with pytest.raises(EngineOptionInvalid, match="names no ControlPath"):
        SshDriver().plan(parse_spec("3001"), site({}, control="user"))


def test_a_socket_at_the_far_host_is_asked_for_by_its_path() -> None:
    options = {"bind": "unix:///run/app.sock", "url": "https://a.example.com"}
    plan = SshDriver().plan(parse_spec("3001"), site(**options))
    assert plan.argv[-3:-1] == ("-R", "/run/app.sock:/run/up/door.sock")
    assert (plan.url, plan.limits, plan.secure) == ("https://a.example.com", (), True)
    assert SshDriver().keeps_name(parse_spec("3001"), site(**options))
