"""TLS ended at the door: records in pieces, in heaps and in turns; ends, pauses and failures."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from underpass.relay.edges.sweeper import Sweeper
from underpass.relay.edges.tls_shell import READ_SIZE, TlsRoom, TlsShell

BULK = bytes(range(256)) * 256
"""64 KiB: four records and the rest of a read."""


class Below(asyncio.Transport):
    """The plain transport, which keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.written = bytearray()
        self.reading = True
        self.ended = ""
        self.limits: tuple[int | None, int | None] = (None, None)

    def write(self, data) -> None:
        assert not self.ended
        self.written += data

    def take(self) -> bytes:
        written, self.written = bytes(self.written), bytearray()
        return written

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return 17

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Streaming(asyncio.Protocol):
    """A protocol above that is given bytes."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.received = b""
        self.transport: TlsShell | None = None
        self.then = lambda: None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.then()

    def eof_received(self) -> None:
        self.said.append("eof")

    def pause_writing(self) -> None:
        self.said.append("paused")

    def resume_writing(self) -> None:
        self.said.append("resumed")

    def connection_lost(self, exc) -> None:
        self.said.append("lost")


class Buffered(asyncio.BufferedProtocol):
    """One that brings a buffer of its own, and a small one."""

    def __init__(self, size: int) -> None:
        self.buffer = memoryview(bytearray(size))
        self.received = b""
        self.sizes: list[int] = []

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.sizes.append(nbytes)
        self.received += self.buffer[:nbytes]


class Visitor:
    """A TLS client in memory and the shell that it speaks to."""

    def __init__(self, place: Place, above: asyncio.BaseProtocol) -> None:
        self.above = above
        self.failures = 0
        self.below = Below()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = place.client.wrap_bio(self._in, self._out, server_hostname="a.test")
        self.shell = TlsShell(place.room, place.server, lambda: above, self._failed, place.loop)
        self.shell.connection_made(self.below)

    def _failed(self) -> None:
        self.failures += 1

    def shake_hands(self) -> None:
        for _ in range(3):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.send(self.records())
            self.hear()

    def records(self, *parts: bytes) -> bytes:
        """``parts`` as records, behind what the client has to say anyway."""
        for part in parts:
            self.tls.write(part)
        return self._out.read()

    def send(self, records: bytes) -> None:
        """Give records to the shell as a transport would."""
        while records:
            buffer = self.shell.get_buffer(-1)
            size = min(len(buffer), len(records))
            buffer[:size] = records[:size]
            self.shell.buffer_updated(size)
            records = records[size:]

    def hear(self) -> None:
        self._in.write(self.below.take())

    def read(self) -> bytes:
        self.hear()
        plain = b""
        try:
            while part := self.tls.read(READ_SIZE):
                plain += part
        except ssl.SSLWantReadError:
            pass
        return plain


class Place:
    """The room of one door, and certificates."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        authority = trustme.CA()
        self.loop = loop
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("a.test").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.sweeper = Sweeper(loop, 3600.0)
        self.room = TlsRoom(self.sweeper, timeout=10.0)

    def connect(self, above: asyncio.BaseProtocol) -> Visitor:
        visitor = Visitor(self, above)
        visitor.shake_hands()
        return visitor

    @property
    def is_empty(self) -> bool:
        return not (self.room.incoming.pending or self.room.outgoing.pending)


@pytest.fixture
async def place():
    place = Place(asyncio.get_running_loop())
    yield place
    place.sweeper.close()


async def test_bytes_pass_both_ways(place: Place) -> None:
    above = Streaming()
    visitor = place.connect(above)
    visitor.send(visitor.records(b"question"))
    assert (above.received, above.said) == (b"question", ["made"])
    visitor.shell.write(b"answer")
    visitor.shell.writelines([b" and", b" more"])
    assert visitor.read() == b"answer and more"
    assert place.is_empty
    assert len(place.sweeper) == 0


async def test_records_may_come_byte_by_byte(place: Place) -> None:
    above = Streaming()
    visitor = Visitor(place, above)
    with pytest.raises(ssl.SSLWantReadError):
        visitor.tls.do_handshake()
    for byte in visitor.records():
        visitor.send(bytes((byte,)))
    visitor.hear()
    visitor.tls.do_handshake()
    for byte in visitor.records(b"question"):
        visitor.send(bytes((byte,)))
        assert place.is_empty
    assert above.received == b"question"


async def test_a_question_in_the_last_flight_of_the_handshake_is_heard(place: Place) -> None:
    above = Streaming()
    visitor = Visitor(place, above)
    with pytest.raises(ssl.SSLWantReadError):
        visitor.tls.do_handshake()
    visitor.send(visitor.records())
    visitor.hear()
    visitor.tls.do_handshake()
    visitor.send(visitor.records(b"one", b"two"))
    assert (above.received, above.said) == (b"onetwo", ["made"])


@pytest.mark.parametrize("size", [1, 1000, 16 * 1024, READ_SIZE])
async def test_a_buffer_of_any_size_gets_everything(place: Place, size: int) -> None:
    above = Buffered(size)
    visitor = place.connect(Streaming())
    visitor.shell.set_protocol(above)
    payload = BULK[: 40 * size][:READ_SIZE]
    visitor.send(visitor.records(payload, b"end"))
    assert above.received == payload + b"end"
    assert max(above.sizes) <= size
    assert place.is_empty


async def test_one_connection_may_speak_and_end_within_the_call_of_another(place: Place) -> None:
    other = place.connect(Streaming())
    above = Streaming()

    def interrupt() -> None:
        assert place.is_empty
        other.shell.write(b"meanwhile")
        if len(above.received) > READ_SIZE:
            other.shell.close()

    above.then = interrupt
    visitor = place.connect(above)
    visitor.send(visitor.records(BULK, BULK))
    assert above.received == BULK + BULK
    assert other.read().startswith(b"meanwhile" * 2)
    assert other.below.ended == "closed"


async def test_what_came_before_a_pause_waits_for_its_end(place: Place) -> None:
    above = Streaming()
    visitor = place.connect(above)
    records = visitor.records(BULK, b"more")
    above.then = visitor.shell.pause_reading
    visitor.send(records)
    assert 0 < len(above.received) < len(BULK)
    assert not visitor.below.reading
    assert not visitor.shell.is_reading()
    seen = len(above.received)
    await asyncio.sleep(0)
    assert len(above.received) == seen
    above.then = lambda: None
    visitor.shell.resume_reading()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert above.received == BULK + b"more"
    assert visitor.below.reading


async def test_a_pause_within_a_record_keeps_its_rest(place: Place) -> None:
    above = Buffered(100)
    visitor = place.connect(Streaming())
    visitor.shell.set_protocol(above)
    visitor.shell.pause_reading()
    visitor.send(visitor.records(b"x" * 250))
    assert above.received == b""
    visitor.shell.resume_reading()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert above.sizes == [100, 100, 50]


async def test_back_pressure_is_that_of_the_transport_below(place: Place) -> None:
    above = Streaming()
    visitor = place.connect(above)
    visitor.shell.set_write_buffer_limits(high=0)
    visitor.shell.pause_writing()
    visitor.shell.resume_writing()
    assert above.said == ["made", "paused", "resumed"]
    assert visitor.below.limits == (0, None)
    assert visitor.shell.get_write_buffer_size() == 17
    assert visitor.shell.get_extra_info("peername") == ("192.0.2.1", 5)
    assert visitor.shell.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_the_end_of_a_connection_is_said_in_tls_too(place: Place) -> None:
    visitor = place.connect(Streaming())
    visitor.shell.write(b"last words")
    visitor.shell.close()
    visitor.shell.close()
    visitor.shell.write(b"too late")
    assert visitor.below.ended == "closed"
    assert visitor.read() == b"last words"
    assert visitor.tls.read(10) == b""


async def test_a_visitor_that_says_goodbye_is_heard_after_its_words(place: Place) -> None:
    above = Streaming()
    visitor = place.connect(above)
    visitor.tls.write(b"question")
    with pytest.raises(ssl.SSLWantReadError):
        visitor.tls.unwrap()
    visitor.send(visitor.records())
    assert (above.received, above.said) == (b"question", ["made", "eof"])
    assert visitor.below.ended == "closed"
    visitor.shell.connection_lost(None)
    assert above.said == ["made", "eof", "lost"]
    assert visitor.failures == 0


async def test_an_end_without_goodbye_is_an_end(place: Place) -> None:
    above = Streaming()
    visitor = place.connect(above)
    visitor.shell.eof_received()
    assert above.said == ["made", "eof"]
    assert visitor.shell.is_closing()


async def test_what_is_no_tls_ends_that_connection_alone(place: Place) -> None:
    stranger = Visitor(place, Streaming())
    stranger.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert stranger.below.ended == "closed"
    stranger.shell.connection_lost(None)
    assert (stranger.failures, stranger.above.said) == (1, [])
    above = Streaming()
    visitor = place.connect(above)
    visitor.send(b"\x17\x03\x03\x00\x20" + b"forged" * 6)
    assert visitor.below.ended == "closed"
    visitor.send(b"ignored")
    assert place.is_empty
    third = Streaming()
    place.connect(third).shell.write(b"fine")
    assert third.said == ["made"]


async def test_a_handshake_that_drags_on_is_ended(place: Place) -> None:
    visitor = Visitor(place, Streaming())
    now = place.loop.time()
    place.sweeper.sweep(now + 9)
    assert visitor.below.ended == ""
    place.sweeper.sweep(now + 11)
    assert visitor.below.ended == "aborted"
    visitor.shell.connection_lost(None)
    assert visitor.failures == 1
    assert len(place.sweeper) == 0
