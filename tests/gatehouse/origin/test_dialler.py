"""The origin's address comes from the spec alone, is judged after resolution, and is remembered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from tests.gatehouse.conftest import RecordingVisitor, answering, raw_origin, request, settle

from underpass.gatehouse.books import Books
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.hangup import HangupWatch
from underpass.gatehouse.origin.connection import OriginConnection
from underpass.gatehouse.origin.dialler import OriginDialler
from underpass.gatehouse.ports import Peer
from underpass.model.origin import parse_origin

Make = Callable[..., Gatehouse]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Dialled:
    """An ``OriginUser`` that only wants to know how the dial went."""

    room = 1

    def __init__(self) -> None:
        self.result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def origin_ready(self, connection: OriginConnection) -> None:
        connection.abort()
        self.result.set_result("ready")

    def origin_refused(self, code: str) -> None:
        self.result.set_result(code)

    def origin_waits(self) -> None: ...
    def origin_data(self, data: memoryview) -> None: ...
    def origin_ended(self) -> None: ...
    def origin_lost(self, error: Exception | None) -> None: ...
    def origin_drained(self, count: int) -> None: ...


def dialler_to(text: str, permit: Callable[[str, int], bool] | None = None) -> OriginDialler:
    loop = asyncio.get_running_loop()
    return OriginDialler(parse_origin(text), loop, Books(), HangupWatch(loop), permit)


async def dial(dialler: OriginDialler) -> str:
    user = Dialled()
    dialler.dial(user)
    async with asyncio.timeout(5):
        return await user.result


@pytest.mark.parametrize("host", ["localhost", "tools.localhost", "127.0.0.1", "LOCALHOST"])
async def test_loopback_is_known_by_name_without_a_resolver(
    host: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    async with raw_origin(answering()) as origin:
        assert await dial(dialler_to(f"{host}:{origin.port}")) == "ready"


async def test_service_on_ipv6_loopback_alone_is_found_and_remembered():
    try:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "::1", 0)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 on loopback: {error}")  # containers often have none
    port = server.sockets[0].getsockname()[1]
    asked: list[str] = []

    def permit(address: str, _: int) -> bool:
        asked.append(address)
        return True

    try:
        dialler = dialler_to(f"localhost:{port}", permit)
        assert await dial(dialler) == "ready"
        assert await dial(dialler) == "ready"
        assert asked == ["127.0.0.1", "::1", "::1"]
    finally:
        server.close()
        await settle()


async def test_own_control_port_is_refused_after_resolution(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(
            f"tools.localhost:{origin.port}", permit=lambda address, port: port != origin.port
        )
        visitor = RecordingVisitor()
        gatehouse.open_http(visitor, request(), Peer(""))
        status, _ = await visitor.answer()
        assert (status, visitor.field(b"Underpass-Error")) == (502, b"own-control-port")
        assert origin.accepted == 0


async def test_own_control_socket_is_refused_too(tmp_path):
    async with raw_origin(answering(), unix=tmp_path / "c.sock") as origin:
        text = f"unix://{tmp_path / 'c.sock'}"
        assert await dial(dialler_to(text, lambda path, port: port != 0)) == "own-control-port"
        assert origin.accepted == 0
        assert await dial(dialler_to(text)) == "ready"


async def test_last_good_address_is_used_while_dns_is_down(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("underpass.gatehouse.origin.dialler.NAME_SECONDS", 0.0)
    async with raw_origin(answering()) as origin:
        dialler = dialler_to(f"app.internal:{origin.port}")
        answers: list[object] = [
            [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", origin.port))],
            socket.gaierror(socket.EAI_AGAIN, "down"),
        ]

        async def resolve(*args: object, **kwargs: object) -> object:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(dialler, "_ask", resolve)
        assert await dial(dialler) == "ready"
        assert await dial(dialler) == "ready"
        assert answers == []


async def test_unknown_name_is_away():
    assert await dial(dialler_to("no-such-host.invalid:80")) == "origin-away"


async def test_missing_socket_is_away(tmp_path):
    assert await dial(dialler_to(f"unix://{tmp_path}/none.sock")) == "origin-away"


async def test_too_many_connections_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("underpass.gatehouse.origin.dialler.MAX_CONNECTIONS", 0)
    async with raw_origin(answering()) as origin:
        assert await dial(dialler_to(origin.text)) == "over-limit"


async def test_dial_into_nothing_ends_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("underpass.gatehouse.origin.dialler.CONNECT_SECONDS", 0.05)
    # A listener whose backlog is full does not answer any more.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        assert await dial(dialler_to(f"127.0.0.1:{full.getsockname()[1]}")) == "origin-away"
        for filler in fillers:
            filler.close()
