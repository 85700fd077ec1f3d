"""Byte connections: tcp ports and reach connections, with their ends as they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from underpass.relay.edges.ports import EdgeEvent
from underpass.relay.links.websocket import LINK_PATH, REACH_PATH
from underpass.relay.protocol.reach import (
    FIN_FRAME,
    Broken,
    Ended,
    ReachAnswer,
    ReachChannel,
    ReachHello,
    data_header,
    greeting,
    reset,
)


@pytest.fixture
async def tcp_port(house, make_listener) -> int:
    house.tunnel.kind = "tcp"
    port = await house.door.open_tcp(make_listener())
    house.names.ports[port] = house.tunnel
    return port


# -- tcp ------------------------------------------------------------------------------------------


async def test_bytes_travel_both_ways_as_they_come(house, tcp_port) -> None:
    caller = await house.call(tcp_port)
    far = await house.tunnel.accept()
    assert (far.kind, far.peer[0]) == ("tcp", "127.0.0.1")
    far.say(b"server first")
    assert await caller.exactly(12) == b"server first"
    caller.say(b"then client")
    assert await far.bytes_up_to(11) == b"then client"
    assert house.tunnel.events == [EdgeEvent.CONNECTION]


async def test_each_side_may_end_alone(house, tcp_port) -> None:
    caller = await house.call(tcp_port)
    far = await house.tunnel.accept()
    caller.say(b"question")
    caller.writer.write_eof()
    assert await far.body() == b"question"
    far.say(b"answer", end=True)
    assert await caller.rest() == b"answer"
    other = await house.call(tcp_port)
    far = await house.tunnel.accept()
    far.say(b"bye", end=True)
    assert await other.rest() == b"bye"
    other.say(b"but")
    assert await far.bytes_up_to(3) == b"but"
    other.writer.write_eof()
    await far.end()
    assert house.tunnel.events.count(EdgeEvent.DEPARTED) == 0


async def test_a_reset_stays_a_reset_in_both_directions(house, tcp_port) -> None:
    caller = await house.call(tcp_port)
    far = await house.tunnel.accept()
    caller.reset()
    assert await far.gone() == "visitor-left"
    caller = await house.call(tcp_port)
    (await house.tunnel.accept()).stream.abort("origin-away")
    with pytest.raises(ConnectionResetError):
        await caller.rest()


async def test_a_reset_is_noticed_while_the_origin_takes_nothing(house, tcp_port) -> None:
    house.tunnel.drain = False
    caller = await house.call(tcp_port)
    far = await house.tunnel.accept()
    caller.say(b"x" * 10_000_000)
    await far.bytes_up_to(65536)
    caller.reset()
    assert await far.gone() == "visitor-left"


async def test_a_gated_tunnel_has_no_public_port(house, tcp_port) -> None:
    house.tunnel.exposure = "gated"
    caller = await house.call(tcp_port)
    with pytest.raises(ConnectionResetError):
        await caller.rest()
    assert house.tunnel.untouched


async def test_addresses_are_judged_by_the_gatehouse_which_knows_a_proof(house, tcp_port) -> None:
    house.tunnel.allow = ("10.0.0.0/8",)
    caller = await house.call(tcp_port)
    far = await house.tunnel.accept()
    assert far.peer[0] == "127.0.0.1"
    far.stream.abort("gate-refused")
    with pytest.raises(ConnectionResetError):
        await caller.rest()


async def test_a_visitor_is_held_until_a_connector_comes(house, tcp_port) -> None:
    house.tunnel.lose_lane()
    caller = await house.call(tcp_port)
    caller.say(b"hello")
    caller.writer.write_eof()
    await asyncio.sleep(0.02)
    await house.tunnel.attach()
    far = await house.tunnel.accept()
    assert await far.body() == b"hello"


async def test_nobody_comes_and_the_visitor_is_reset(house, tcp_port) -> None:
    house.tunnel.lose_lane()
    caller = await house.call(tcp_port)
    with pytest.raises(ConnectionResetError):
        await caller.rest()
    assert house.tunnel.events == [EdgeEvent.AWAY]
    assert house.tunnel.streams_left == 1000


async def test_bulk_arrives_whole_both_ways(house, tcp_port) -> None:
    sent = bytes(range(256)) * 20_000
    caller = await house.call(tcp_port)
    caller.say(sent)
    caller.writer.write_eof()
    far = await house.tunnel.accept()
    far.say(sent, end=True)
    assert await caller.rest() == sent
    assert await far.body() == sent


async def test_a_slow_side_stops_the_other(house, tcp_port) -> None:
    caller = await house.call(tcp_port)
    caller.writer.transport.pause_reading()
    far = await house.tunnel.accept()
    sent = await far.fill()
    assert sent < 64 * 1024 * 1024
    caller.writer.transport.resume_reading()
    assert len(await caller.exactly(sent)) == sent


async def test_ports_can_be_closed_and_keep_who_is_there(house, tcp_port) -> None:
    caller = await house.call(tcp_port)
    far = await house.tunnel.accept()
    house.door.close_port(tcp_port)
    house.door.close_port(tcp_port)
    with pytest.raises(ConnectionRefusedError):
        await house.call(tcp_port)
    far.say(b"still here")
    assert await caller.exactly(10) == b"still here"


# -- reach ----------------------------------------------------------------------------------------


@dataclass
class ReachClient:
    """The other end of a reach connection."""

    caller: object
    channel: ReachChannel = field(default_factory=ReachChannel)
    events: list[object] = field(default_factory=list)

    def hello(self, name: str = "demo", token: str = "secret", version: int = 1) -> None:
        self.caller.say(greeting(ReachHello(name=name, token=token, version=version)))

    def data(self, data: bytes) -> None:
        self.caller.say(data_header(len(data)) + data)

    async def next(self) -> object:
        async with asyncio.timeout(2):
            while not self.events:
                data = await self.caller.reader.read(65536)
                if not data:
                    return None
                self.events = [
                    bytes(event) if isinstance(event, memoryview) else event
                    for event in self.channel.receive_data(data)
                ]
        return self.events.pop(0)


@pytest.fixture(params=["tls", "plain"])
async def reach(house, request) -> ReachClient:
    house.tunnel.kind = "tcp"
    house.tunnel.exposure = "gated"
    if request.param == "tls":
        port = await house.listen(tls=True)
        caller = await house.call(port, name="relay.test", alpn=("underpass-reach/1",))
    else:
        caller = await house.call(await house.listen())
        caller.say(b"UREACH1\n")
    return ReachClient(caller)


async def test_reach_carries_bytes_and_both_ends(house, reach) -> None:
    reach.hello()
    reach.data(b"early")
    far = await house.tunnel.accept()
    assert (far.kind, far.token, far.peer[0]) == ("reach", "secret", "127.0.0.1")
    assert await reach.next() == ReachAnswer(ok=True)
    assert await far.bytes_up_to(5) == b"early"
    far.say(b"answer", end=True)
    assert await reach.next() == b"answer"
    assert await reach.next() == Ended()
    reach.data(b" and more")
    reach.caller.say(FIN_FRAME)
    assert await far.body() == b"early and more"
    assert await reach.next() is None


async def test_a_refused_token_is_a_break_with_the_gatehouses_code(house, reach) -> None:
    reach.hello(token="wrong")
    far = await house.tunnel.accept()
    assert await reach.next() == ReachAnswer(ok=True)
    far.stream.abort("gate-refused")
    assert await reach.next() == Broken(code="gate-refused")
    assert await reach.next() is None


@pytest.mark.parametrize("kind", ["unknown", "http"])
async def test_what_cannot_be_reached_gets_one_answer(house, reach, kind: str) -> None:
    house.tunnel.kind = "http"
    reach.hello(name="demo" if kind == "http" else "nobody")
    answer = await reach.next()
    assert (answer.ok, answer.code) == (False, "no-such-tunnel")
    assert await reach.next() is None
    assert house.tunnel.untouched


async def test_an_absent_connector_is_said(house, reach) -> None:
    house.tunnel.lose_lane()
    reach.hello()
    answer = await reach.next()
    assert (answer.ok, answer.code) == (False, "connector-away")


async def test_another_version_is_refused(house, reach) -> None:
    reach.hello(version=9)
    answer = await reach.next()
    assert (answer.ok, answer.code) == (False, "version-unsupported")


@pytest.mark.parametrize("farewell", ["reset", "close", "garbage"])
async def test_a_reach_client_that_breaks_is_missed(house, reach, farewell: str) -> None:
    reach.hello()
    far = await house.tunnel.accept()
    await reach.next()
    if farewell == "reset":
        reach.caller.say(reset("cancelled"))
    elif farewell == "close":
        reach.caller.close()
    else:
        reach.caller.say(b"\xff" * 64)
    assert await far.gone() == "visitor-left"


async def test_a_reach_client_that_says_nothing_is_cut_off(house, reach, wait_until) -> None:
    reach.caller.say(b"\0")
    await wait_until(lambda: len(house.door.bytes.sweeper))
    house.door.bytes.sweeper.sweep(asyncio.get_running_loop().time() + 11)
    assert await reach.caller.closed()


# -- WebSocket on the relay's own host -------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_link_may_come_by_websocket(house, tls: bool) -> None:
    port = await house.listen(tls=tls)
    if not tls:
        house.names.relay_host = "127.0.0.1"
    url = f"wss://relay.test:{port}{LINK_PATH}" if tls else f"ws://127.0.0.1:{port}{LINK_PATH}"
    options = {"ssl": house.client_context("http/1.1")} if tls else {}
    async with connect(url, host="127.0.0.1", compression=None, proxy=None, **options) as socket:
        await socket.send(b"frames")
        assert await asyncio.wait_for(socket.recv(), 2) == b"frames"
        link = await house.links.next()
        assert len(link.certificate) == (32 if tls else 0)
    assert not len(house.door.sources)


async def test_reach_may_come_by_websocket(house) -> None:
    house.tunnel.kind = "tcp"
    port = await house.listen(tls=True)
    context = house.client_context("http/1.1")
    url = f"wss://relay.test:{port}{REACH_PATH}"
    async with connect(url, host="127.0.0.1", ssl=context, compression=None, proxy=None) as socket:
        await socket.send(greeting(ReachHello(name="demo", token="secret")))
        far = await house.tunnel.accept()
        channel = ReachChannel()
        assert channel.receive_data(await socket.recv()) == [ReachAnswer(ok=True)]
        await socket.send(data_header(5) + b"hello")
        assert await far.bytes_up_to(5) == b"hello"
        far.say(b"world", end=True)
        found = [*channel.receive_data(await socket.recv())]
        found += channel.receive_data(await socket.recv())
        assert [bytes(found[0]), found[1]] == [b"world", Ended()]
        await socket.send(FIN_FRAME)
        await far.end()


@pytest.mark.parametrize(
    ("path", "origin", "name"),
    [
        (LINK_PATH, None, "demo.relay.test"),
        (LINK_PATH + "/", None, "relay.test"),
        (LINK_PATH, "https://relay.test", "relay.test"),
        (LINK_PATH, "null", "relay.test"),
    ],
    ids=["tunnel host", "other path", "page of ours", "page without origin"],
)
async def test_no_websocket_link_for_pages_or_elsewhere(house, path, origin, name) -> None:
    port = await house.listen(tls=True)
    answering = asyncio.create_task(_answer_anything(house.tunnel))
    with pytest.raises(InvalidStatus) as caught:
        async with connect(
            f"wss://{name}:{port}{path}",
            host="127.0.0.1",
            ssl=house.client_context("http/1.1"),
            origin=origin,
            proxy=None,
        ):
            pass
    assert caught.value.response.status_code in (403, 418, 503)
    assert house.links.accepted.empty()
    answering.cancel()


async def _answer_anything(tunnel) -> None:
    (await tunnel.accept()).answer(418, b"a tunnel's own business")
