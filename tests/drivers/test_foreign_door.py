"""The gatehouse behind a socket for a foreign engine: who may come, and what is said if not."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.drivers.byte_door import ByteDoor
from underpass.drivers.errors import DoorUnopened
from underpass.drivers.foreign_door import ForeignDoor
from underpass.drivers.plans import DoorKind, Plan
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor
from underpass.guard.gates import forge
from underpass.model.origin import Kind
from underpass.model.spec import parse_spec
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import HalfCloseRecorder, Refuser, TcpEcho

SOCKET = Plan("any", "nobody", door=DoorKind.UNIX)
PORT = Plan("any", "nobody", door=DoorKind.PORT)


def house_for(words: str) -> Gatehouse:
    spec = parse_spec(words)
    settings = GatehouseSettings(spec.origin, spec.kind, "tools", "one", bytes(32))
    return Gatehouse(settings, forge(spec.gates, public=spec.public).guard)


@pytest.fixture
async def echo() -> AsyncIterator[TcpEcho]:
    async with TcpEcho() as origin:
        yield origin


async def test_a_socket_is_for_its_owner_alone_and_goes_with_the_door(runtime: Path) -> None:
    door = await ForeignDoor.open(house_for("1"), SOCKET, Kind.HTTP, runtime)
    assert door.address.unix is not None
    path = str(door.address.unix)
    assert stat.S_IMODE((runtime / "door.sock").stat().st_mode) == 0o600
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await door.close()
    await door.close()
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(path)


async def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    with pytest.raises(DoorUnopened, match="cannot open a door for the engine at"):
        await ForeignDoor.open(house_for("1"), SOCKET, Kind.HTTP, deep)


@pytest.mark.parametrize("plan", [SOCKET, PORT])
async def test_bytes_wait_for_an_origin_that_reads_slowly(runtime: Path, plan: Plan) -> None:
    async with HalfCloseRecorder() as origin:
        house = house_for(f"tcp://127.0.0.1:{origin.port} --public --for 30m")
        door = await ForeignDoor.open(house, plan, Kind.TCP, runtime)
        reader, writer = await _enter(door)
        for _ in range(64):
            writer.write(b"x" * 65_536)
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(20.0):
            seen = await origin.half_closes.get()
            assert len(await reader.read()) == 64
        assert seen.size == 64 * 65_536
        writer.close()
        await door.close()
        house.close()


async def test_two_reads_of_one_turn_wait_for_the_dial() -> None:
    """libuv reads again and again while there is something, uvloop 256,000 bytes a time."""
    data = os.urandom(256_000)
    async with HalfCloseRecorder() as origin:
        door = ByteDoor(house_for(f"tcp://127.0.0.1:{origin.port} --public --for 30m"), Peer(""))
        near, far = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, visitor = await loop.create_connection(door, sock=near)
        visitor.data_received(data)
        visitor.data_received(data)
        far.shutdown(socket.SHUT_WR)
        far.setblocking(False)
        async with asyncio.timeout(20.0):
            answer = await loop.sock_recv(far, 100)
        assert answer.decode() == hashlib.sha256(data + data).hexdigest()
        far.close()
        door.close()


async def test_two_reads_of_a_body_wait_for_the_dial() -> None:
    size = 316_000
    head = f"POST /digest HTTP/1.1\r\nHost: tools\r\nContent-Length: {size}\r\n\r\n".encode()
    async with HttpOrigin() as origin:
        loop = asyncio.get_running_loop()
        carrier = house_for(f"{origin.port} --public --for 30m")
        door = SocketDoor(carrier, DoorSettings(heartbeats=False, fin_departs=False))
        near, far = socket.socketpair()
        _, visitor = await loop.create_connection(door, sock=near)
        visitor.data_received(head + bytes(60_000))
        visitor.data_received(bytes(256_000))
        far.setblocking(False)
        async with asyncio.timeout(20.0):
            assert (await loop.sock_recv(far, 1000)).startswith(b"HTTP/1.1 200")
        far.close()
        door.close()
        carrier.close()


async def test_an_origin_that_refuses_ends_the_visitor_by_a_reset(runtime: Path) -> None:
    async with Refuser() as origin:
        house = house_for(f"tcp://127.0.0.1:{origin.port} --public --for 30m")
        door = await ForeignDoor.open(house, PORT, Kind.TCP, runtime)
        reader, writer = await _enter(door)
        writer.write(b"hello")
        async with asyncio.timeout(10.0):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        writer.close()
        await door.close()
        house.close()


async def test_a_visitor_that_resets_frees_the_origin_and_close_cuts_the_rest(
    runtime: Path, echo: TcpEcho
) -> None:
    house = house_for(f"tcp://127.0.0.1:{echo.port} --public --for 30m")
    door = await ForeignDoor.open(house, PORT, Kind.TCP, runtime)
    first, second = await _enter(door), await _enter(door)
    for reader, writer in (first, second):
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
    first[1].transport.abort()
    async with asyncio.timeout(10.0):
        while echo.open > 1:  # noqa: ASYNC110  (the origin tells nobody)
            await asyncio.sleep(0.01)
        await door.close()
        with pytest.raises(ConnectionResetError):
            await second[0].read()
        await echo.wait_idle()
    second[1].close()
    house.close()


async def _enter(door: ForeignDoor) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if door.address.unix is not None:
        return await asyncio.open_unix_connection(str(door.address.unix))
    return await asyncio.open_connection("127.0.0.1", door.address.port)
