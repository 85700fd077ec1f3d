"""Services behind real ssh servers, made local: one hop and three, sockets, SOCKS, restarts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from underpass.assembly.via import OpenVia, open_via
from underpass.drivers.errors import EngineRefused, TargetUnproved
from underpass.model.options import ViaOptions
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import HalfCloseRecorder, Refuser, TcpEcho

Reach = Callable[..., Awaitable[OpenVia]]


@pytest.fixture
async def reach(far: Any, place: Path) -> AsyncIterator[Reach]:
    opened: list[OpenVia] = []

    async def reach(
        target: str, *, expect: str = "", timeout: float = 20.0, **more: str
    ) -> OpenVia:
        options = ViaOptions(
            target=target,
            engine="ssh",
            engine_options=tuple(far.options(**more).items()),
            runtime_dir=place,
            expect=expect,
            timeout=timeout,
        )
        opened.append(await open_via(options))
        return opened[-1]

    yield reach
    for each in opened:
        await each.close()
    assert os.listdir(place) == []


async def echo(address: tuple[str, int], data: bytes) -> bytes:
    async with asyncio.timeout(20.0):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_a_service_is_local_once_it_has_greeted(far: Any, reach: Reach) -> None:
    await far.server()
    async with HttpOrigin() as origin:
        opened = await reach(f"127.0.0.1:{origin.port}", expect="http")
        assert opened.greeted.detail == "it greets as http"
        assert opened.address[0] == "127.0.0.1"


async def test_three_hosts_are_jumped_over_in_their_order(far: Any, reach: Reach) -> None:
    servers = [await far.server() for _ in range(3)]
    async with TcpEcho() as origin:
        opened = await reach(f"127.0.0.1:{origin.port}", expect="any")
        assert await echo(opened.address, b"over three") == b"over three"
        for server in servers:
            assert server.log.read_text().count("Accepted publickey") == 1


async def test_ends_are_passed_on_as_ends(far: Any, reach: Reach) -> None:
    await far.server()
    async with HalfCloseRecorder() as origin:
        opened = await reach(f"127.0.0.1:{origin.port}", expect="any")
        assert len(await echo(opened.address, os.urandom(1 << 20))) == 64


async def test_a_unix_socket_of_the_far_host_is_a_target(
    far: Any, reach: Reach, place: Path, tmp_path: Path
) -> None:
    await far.server()
    async with TcpEcho(unix=str(tmp_path / "app.sock")):
        opened = await reach(f"unix://{tmp_path}/app.sock")
        assert await echo(opened.address, b"socket") == b"socket"


async def test_socks_leads_to_everything_that_the_far_host_can_reach(
    far: Any, reach: Reach
) -> None:
    await far.server()
    async with HttpOrigin() as origin:
        opened = await reach("socks")
        assert opened.greeted.detail == "it greets as socks"
        proxy = "socks5h://{}:{}".format(*opened.address)
        curl = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--max-time", "15", "--proxy", proxy, origin.url + "/through"),
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await curl.communicate()
        assert json.loads(told)["target"] == "/through"


async def test_a_bastion_that_restarts_is_waited_for_on_the_same_port(
    far: Any, reach: Reach
) -> None:
    bastion = await far.server()
    async with TcpEcho() as origin:
        opened = await reach(f"127.0.0.1:{origin.port}", expect="any")
        told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        watching = asyncio.create_task(opened.watch(lambda *each: told.put_nowait(each)))
        await bastion.stop()
        async with asyncio.timeout(20.0):
            assert (await told.get())[0] == "link-lost"
            waiting = asyncio.create_task(echo(opened.address, b"patient"))
            await bastion.start()
            assert await waiting == b"patient"
            assert (await told.get())[0] == "ready"
        watching.cancel()


async def test_a_killed_ssh_and_a_cut_session_are_mended(far: Any, reach: Reach) -> None:
    bastion = await far.server()
    async with TcpEcho() as origin:
        opened = await reach(f"127.0.0.1:{origin.port}", expect="any")
        for hurt in (lambda: os.kill(opened.reach.pid or 0, signal.SIGKILL), bastion.cut):
            hurt()
            async with asyncio.timeout(20.0):
                while not (await opened.prove()).ok:
                    pass
            assert await echo(opened.address, b"again") == b"again"


async def test_a_target_that_refuses_is_told_with_the_far_host_s_own_words(
    far: Any, reach: Reach
) -> None:
    await far.server()
    async with Refuser() as refuser:
        with pytest.raises(TargetUnproved, match="Connection refused"):
            await reach(f"127.0.0.1:{refuser.port}", expect="postgresql", timeout=3.0)


async def test_another_service_than_expected_is_no_proof(far: Any, reach: Reach) -> None:
    bastion = await far.server()
    with pytest.raises(TargetUnproved, match="something else than postgresql answers"):
        await reach(f"127.0.0.1:{bastion.port}", expect="postgresql", timeout=3.0)
    opened = await reach(f"127.0.0.1:{bastion.port}", expect="ssh")
    assert opened.greeted.ok


async def test_a_server_that_forbids_forwarding_is_told(far: Any, reach: Reach) -> None:
    await far.server("AllowTcpForwarding no")
    with pytest.raises(TargetUnproved, match="prohibited"):
        await reach("127.0.0.1:5432", timeout=3.0)


async def test_unknown_and_changed_host_keys_are_never_accepted(
    far: Any, reach: Reach, tmp_path: Path
) -> None:
    bastion = await far.server()
    far.known_hosts.write_text("")
    with pytest.raises(EngineRefused) as unknown:
        await reach("127.0.0.1:22")
    assert unknown.value.reason == "host-key-unknown"
    kind, key = far.keys.public.read_text().split()[:2]
    far.known_hosts.write_text(f"[127.0.0.1]:{bastion.port} {kind} {key}\n")
    for trust in ("pinned", "new"):
        with pytest.raises(EngineRefused) as changed:
            await reach("127.0.0.1:22", trust=trust)
        assert changed.value.reason == "host-key-changed"


async def test_a_new_host_key_is_learnt_once_when_the_user_says_so(far: Any, reach: Reach) -> None:
    bastion = await far.server()
    far.known_hosts.write_text("")
    await reach(f"127.0.0.1:{bastion.port}", expect="ssh", trust="new")
    assert f"[127.0.0.1]:{bastion.port} ssh-ed25519 " in far.known_hosts.read_text()
