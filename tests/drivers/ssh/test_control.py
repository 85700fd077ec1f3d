"""Forwards come and go on a running ssh, and each answer is believed only after a look."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers.errors import EngineAway, EngineOptionInvalid
from underpass.drivers.plans import Site
from underpass.drivers.process import minimal
from underpass.drivers.ssh.control import ControlMaster, Forward
from underpass.drivers.ssh.reach import SshReach, parse_target
from underpass.testing.origins.tcp import TcpEcho
from underpass.testing.sshd import free_port


@pytest.fixture
async def reach(far: Any, place: Path) -> AsyncIterator[SshReach]:
    await far.server()
    site = Site("reach", place, options=far.options(), environment=os.environ)
    reach = SshReach(parse_target("127.0.0.1:1"), site)
    await reach.open("127.0.0.1", 0)
    yield reach
    await reach.close()


@pytest.fixture
def master(reach: SshReach) -> ControlMaster:
    return reach.control


async def echo(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(10.0):
            return await reader.readexactly(len(data))
    finally:
        writer.transport.abort()


async def test_the_master_names_its_process(reach: SshReach, master: ControlMaster) -> None:
    assert await master.check() == reach.pid


async def test_a_local_forward_comes_and_goes(master: ControlMaster) -> None:
    async with TcpEcho() as origin:
        forward = Forward("L", f"127.0.0.1:{free_port()}:127.0.0.1:{origin.port}")
        port = await master.forward(forward)
        assert await echo(port, b"here") == b"here"
        await master.cancel(forward)
        with pytest.raises(ConnectionRefusedError):
            await echo(port, b"gone")


async def test_a_remote_forward_gets_a_port_and_gives_it_back(master: ControlMaster) -> None:
    async with TcpEcho() as origin:
        forward = Forward("R", f"127.0.0.1:0:127.0.0.1:{origin.port}")
        port = await master.forward(forward)
        assert await echo(port, b"there") == b"there"
        await master.cancel(forward, port)
        with pytest.raises(ConnectionRefusedError):
            await echo(port, b"gone")


async def test_a_taken_port_is_refused_and_the_connection_stays(
    reach: SshReach, master: ControlMaster
) -> None:
    async with TcpEcho() as holder:
        for kind in "LR":
            with pytest.raises(EngineAway, match="request failed"):
                await master.forward(Forward(kind, f"127.0.0.1:{holder.port}:127.0.0.1:1"))
    assert await master.check() == reach.pid


async def test_a_cancel_that_did_nothing_is_told_although_ssh_ends_with_0(
    master: ControlMaster,
) -> None:
    with pytest.raises(EngineAway):
        await master.cancel(Forward("L", f"127.0.0.1:{free_port()}:127.0.0.1:1"))


async def test_nobody_answers_for_a_master_that_has_ended(place: Path, far: Any) -> None:
    (place / "ssh.conf").write_text("Host hop-0\n")
    gone = ControlMaster(place / "ctl", place / "ssh.conf", "hop-0", minimal(os.environ))
    assert await gone.check() is None


@pytest.mark.parametrize("spec", ["8080:x:1", "-oProxyCommand=id", "127.0.0.1:1:x y:2", ""])
def test_a_forward_names_its_bind_address_and_nothing_else(spec: str) -> None:
    with pytest.raises(EngineOptionInvalid):
        Forward("L", spec)
