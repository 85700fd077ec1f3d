"""One transport connection: greetings, then a lane, liveness all the time."""

from __future__ import annotations

import asyncio
import socket

import pytest

from underpass.relay.links.link import Link
from underpass.relay.protocol import frames
from underpass.relay.protocol.frames import frame
from underpass.relay.protocol.greeting import greeting_frame
from underpass.relay.protocol.liveness import DEAD, LATE, SILENCE
from underpass.relay.protocol.records import Challenge, Drain, Refuse, Welcome, encode

CHALLENGE = Challenge(relay="relay.example.com", nonce=b"n" * 32, now=1.0)
WELCOME = Welcome(
    name="tools", epoch=1, lane=b"L" * 16, generation=1, received=0, credit=65536, lease_end=9.0
)


class Timer:
    """What ``call_at`` of the clock gives."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def cancel(self) -> None:
        self._clock.due = None


class Clock:
    """The loop's time for one link, moved by hand; timers fire when the test says so."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = 1000.0
        self.due: tuple[float, object] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: object) -> Timer:
        self.due = (when, act)
        return Timer(self)

    def call_later(self, delay: float, act: object) -> asyncio.TimerHandle:
        return self.loop.call_later(delay, act)

    def run_to(self, when: float) -> None:
        while self.due is not None and self.due[0] <= when:
            self.now, act = self.due
            self.due = None
            act()
        self.now = when


async def raw(host) -> tuple[Link, asyncio.StreamReader, asyncio.StreamWriter]:
    """A link whose far end is in the test's hand."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    link = Link(host, loop)
    await loop.create_connection(lambda: link, sock=near)
    reader, writer = await asyncio.open_connection(sock=far)
    return link, reader, writer


@pytest.fixture
async def far(line):
    """The relay's host with a link, and streams to its far end."""
    link, reader, writer = await raw(line.relay.host)
    line.links.append(link)
    yield link, reader, writer
    writer.close()


async def test_greetings_go_to_the_owner_with_their_bytes(line, far) -> None:
    link, _, writer = far
    writer.write(greeting_frame(CHALLENGE))
    host = line.relay.host
    await host.until(lambda: host.greetings)
    assert host.greetings == [(link, CHALLENGE, encode(CHALLENGE))]


async def test_greeting_is_said(line, far) -> None:
    link, reader, _ = far
    link.send_greeting(CHALLENGE)
    expected = greeting_frame(CHALLENGE)
    assert await reader.readexactly(len(expected)) == expected


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 16, frame(frames.PING, 0, b"12345678"), b"A" + b"\xff" * 9],
)
async def test_what_is_no_greeting_ends_the_link(line, far, garbage: bytes) -> None:
    _, reader, writer = far
    writer.write(garbage)
    host = line.relay.host
    await host.until(lambda: host.lost)
    assert host.lost[0][1]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)


async def test_lane_bytes_behind_the_welcome_are_the_lane_s(line) -> None:
    connector = line.connector

    def attach(link: Link, record: object) -> None:
        connector.runner.attach(link, generation=1, peer_received=0, peer_credit=65536)

    connector.host.on_greeting = attach
    link, _, writer = await raw(connector.host)
    line.links.append(link)
    lease = frame(frames.LEASE, 0, b"\xcb" + b"\x40\x08" + bytes(6))
    writer.write(greeting_frame(WELCOME) + lease + lease[:5])
    await connector.until(lambda: connector.leases == [3.0])
    assert connector.lane.received == len(lease) + 5
    writer.close()


async def test_ping_is_answered_with_its_own_word(line, far) -> None:
    link, reader, writer = far
    line.relay.runner.attach(link, generation=1, peer_received=0, peer_credit=1)
    ours = await reader.readexactly(16)
    assert ours[0] == frames.PING
    writer.write(frame(frames.PING, 0, b"question"))
    assert await reader.readexactly(16) == frame(frames.PONG, 0, b"question")


async def test_round_trip_is_measured_by_the_right_pong_only(line, far) -> None:
    link, reader, writer = far
    line.relay.runner.attach(link, generation=1, peer_received=0, peer_credit=1)
    ping = await reader.readexactly(16)
    writer.write(frame(frames.PONG, 0, b"not this") + frame(frames.PING, 0, b"12345678"))
    await reader.readexactly(16)
    assert line.relay.lane.rtt is None
    writer.write(frame(frames.PONG, 0, ping[8:]) + frame(frames.PING, 0, b"12345678"))
    await reader.readexactly(16)
    assert line.relay.lane.rtt is not None
    assert 0 <= line.relay.lane.rtt < 2


async def test_drain_reaches_the_other_owner(line) -> None:
    mine, _ = await line.attach()
    mine.send_drain(30.0)
    host = line.connector.host
    await host.until(lambda: host.drains == [Drain(grace=30.0)])


async def test_drain_that_is_no_record_ends_the_link_and_not_the_lane(line, far) -> None:
    link, _, writer = far
    line.relay.runner.attach(link, generation=1, peer_received=0, peer_credit=1)
    writer.write(frame(frames.DRAIN, 0, b"\x81\xa5grace\xa2\xff\xff"))
    await line.relay.host.until(lambda: line.relay.host.lost)
    assert line.relay.closed == []
    assert not line.relay.lane.attached


async def test_refusal_on_a_link_that_carries_a_lane_reaches_the_owner(line) -> None:
    mine, theirs = await line.attach()
    refuse = Refuse(code="superseded", message="cannot go on")
    mine.send_greeting(refuse)
    host = line.connector.host
    await host.until(lambda: host.greetings)
    assert host.greetings[0][:2] == (theirs, refuse)


async def test_released_link_is_lost_without_a_word(line) -> None:
    mine, _theirs = await line.attach()
    line.relay.runner.drop_link()
    other = line.connector.host
    await other.until(lambda: other.lost)
    await line.relay.host.until(lambda: mine.transport is None)
    assert line.relay.host.lost == []
    assert line.relay.lost == []


async def test_loss_is_told_once_with_its_reason(line) -> None:
    mine, _ = await line.attach()
    mine.abort("because")
    mine.abort("because")
    host = line.relay.host
    await host.until(lambda: host.lost)
    mine.close()
    await asyncio.sleep(0)
    assert host.lost == [(mine, "because")]


async def test_silent_link_is_asked_doubted_and_given_up(line) -> None:
    near, far = socket.socketpair()
    clock = Clock()
    host = line.relay.host
    link = Link(host, clock)  # type: ignore[arg-type]
    line.links.append(link)
    await asyncio.get_running_loop().create_connection(lambda: link, sock=near)
    reader, writer = await asyncio.open_connection(sock=far)
    line.relay.runner.attach(link, generation=1, peer_received=0, peer_credit=1)
    assert (await reader.readexactly(16))[0] == frames.PING
    clock.run_to(1000.0 + SILENCE)
    assert (await reader.readexactly(16))[0] == frames.PING
    assert host.late == []
    clock.run_to(1000.0 + LATE)
    assert host.late == [link]
    clock.run_to(1000.0 + DEAD - 0.1)
    assert host.lost == []
    clock.run_to(1000.0 + DEAD)
    await host.until(lambda: host.lost)
    assert host.lost == [(link, "nothing was heard for 9 s")]
    writer.close()


async def test_any_byte_keeps_a_link_alive(line) -> None:
    near, far = socket.socketpair()
    clock = Clock()
    host = line.relay.host
    link = Link(host, clock)  # type: ignore[arg-type]
    line.links.append(link)
    await asyncio.get_running_loop().create_connection(lambda: link, sock=near)
    reader, writer = await asyncio.open_connection(sock=far)
    for number in range(10):
        clock.run_to(1000.0 + number * 2.5)
        link.data_received(b"A" if number == 0 else b"\0")
        assert link.last_heard == clock.now
    assert host.late == host.lost == []
    del reader
    writer.close()


async def test_suspected_link_is_asked_at_once(line) -> None:
    near, far = socket.socketpair()
    clock = Clock()
    link = Link(line.relay.host, clock)  # type: ignore[arg-type]
    line.links.append(link)
    await asyncio.get_running_loop().create_connection(lambda: link, sock=near)
    reader, writer = await asyncio.open_connection(sock=far)
    line.relay.runner.attach(link, generation=1, peer_received=0, peer_credit=1)
    await reader.readexactly(16)
    link.suspect()
    clock.run_to(1000.0)
    assert (await reader.readexactly(16))[0] == frames.PING
    clock.run_to(1001.5)
    assert line.relay.host.late == [link]
    writer.close()
