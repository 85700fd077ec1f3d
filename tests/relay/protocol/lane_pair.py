"""Both ends of a lane with the wire between them in the test's hand, and what each end heard."""

from __future__ import annotations

from dataclasses import dataclass, field

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import (
    RECEIVE_BUDGET,
    ReceiveBudget,
    ReplayAccount,
    ReplayBudget,
)
from underpass.relay.protocol.events import (
    Aborted,
    DataReceived,
    EndReceived,
    HeadReceived,
    LeaseSaid,
    Opened,
    Stopped,
    TrailersReceived,
    Writable,
)
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.parser import FrameParser
from underpass.relay.protocol.records import Open, decode_open
from underpass.relay.protocol.stream import Stream


@dataclass
class Heard:
    """What one end heard of one stream; it insists that nothing follows an end."""

    stream: Stream
    record: Open | None = None
    heads: list[bytes] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[bytes] = field(default_factory=list)
    ended: bool = False
    aborted: str | None = None
    stopped: str | None = None
    writable: int = 0
    undrained: int = 0

    @property
    def over(self) -> bool:
        return self.ended or self.aborted is not None

    def hear(self, event: object) -> None:
        if isinstance(event, Stopped):
            assert self.stopped is None, "stopped twice"
            self.stopped = event.code
            return
        if isinstance(event, Writable):
            self.writable += 1
            return
        assert not self.over, f"{event} after the direction's end"
        if isinstance(event, HeadReceived):
            self.heads.append(event.head)
        elif isinstance(event, DataReceived):
            assert event.data, "an event without data"
            self.body += event.data
            self.undrained += len(event.data)
        elif isinstance(event, TrailersReceived):
            self.trailers.append(event.trailers)
        elif isinstance(event, EndReceived):
            self.ended = True
        elif isinstance(event, Aborted):
            self.aborted = event.code
        else:
            raise AssertionError(event)

    def drain(self, count: int | None = None) -> None:
        count = self.undrained if count is None else min(count, self.undrained)
        self.undrained -= count
        self.stream.drained(count)


class End:
    """One end: its lane and what it heard. ``drains`` says whether bodies leave at once."""

    def __init__(
        self,
        *,
        opener: bool,
        budget: ReceiveBudget | None = None,
        account: ReplayAccount | None = None,
        now: float = 0.0,
        drains: bool = True,
    ) -> None:
        self.budget = budget or ReceiveBudget(RECEIVE_BUDGET)
        self.account = account or ReplayBudget().account()
        self.woken = 0
        self.lane = Lane(
            b"L" * 16,
            opener=opener,
            budget=self.budget,
            account=self.account,
            wake=self._wake,
            now=now,
        )
        self.drains = drains
        self.heard: dict[int, Heard] = {}
        self.links: list[tuple[int, bytes]] = []
        self.leases: list[float] = []
        self.raw = bytearray()
        """Everything this end ever gave to a link."""

    def _wake(self) -> None:
        self.woken += 1

    def receive(self, data: bytes, now: float) -> None:
        self.links += self.lane.receive_data(data, now)
        self.hear()

    def hear(self) -> None:
        for event in self.lane.events():
            if isinstance(event, LeaseSaid):
                self.leases.append(event.end)
                continue
            number = event.stream.id
            if isinstance(event, Opened):
                assert number not in self.heard, "opened twice"
                self.heard[number] = Heard(event.stream, event.record)
                continue
            heard = self.heard.get(number)
            if heard is None:
                heard = self.heard[number] = Heard(event.stream)
            heard.hear(event)
            if self.drains and isinstance(event, DataReceived):
                heard.drain()

    def write(self, now: float) -> bytes:
        data = b"".join(self.lane.data_to_send(now))
        self.hear()
        self.raw += data
        return data


class Pair:
    """A relay's end, a connector's end, and the bytes between them."""

    def __init__(
        self,
        *,
        relay_budget: ReceiveBudget | None = None,
        connector_budget: ReceiveBudget | None = None,
        drains: bool = True,
        attached: bool = True,
    ) -> None:
        self.now = 0.0
        self.relay = End(opener=True, budget=relay_budget, drains=drains)
        self.connector = End(opener=False, budget=connector_budget, drains=drains)
        self.down = bytearray()
        """Relay to connector."""
        self.up = bytearray()
        self.generation = 0
        if attached:
            self.link()

    # -- links --------------------------------------------------------------------------------

    def link(self) -> None:
        """A new link, agreed as the introduction would; what was on the old one is lost."""
        self.generation += 1
        self.down.clear()
        self.up.clear()
        relay, connector = self.relay.lane, self.connector.lane
        told, answer = connector.received, relay.received
        relay.attach(
            generation=self.generation,
            peer_received=told,
            peer_credit=connector.first_credit,
            now=self.now,
        )
        connector.attach(
            generation=self.generation,
            peer_received=answer,
            peer_credit=relay.first_credit,
            now=self.now,
        )
        self.relay.hear()
        self.connector.hear()

    def cut(self) -> None:
        """The link dies with everything on it."""
        self.relay.lane.detach(self.now)
        self.connector.lane.detach(self.now)
        self.down.clear()
        self.up.clear()

    def close(self, code: str = "lane-lost") -> None:
        for end in (self.relay, self.connector):
            end.lane.close(code)
            end.hear()

    # -- bytes --------------------------------------------------------------------------------

    def write(self) -> None:
        """Both ends write what they may."""
        self.down += self.relay.write(self.now)
        self.up += self.connector.write(self.now)

    def carry(self, down: int | None = None, up: int | None = None) -> None:
        """Deliver so many bytes (all by default)."""
        for wire, end, count in ((self.down, self.connector, down), (self.up, self.relay, up)):
            count = len(wire) if count is None else min(count, len(wire))
            if count:
                data = bytes(wire[:count])
                del wire[:count]
                end.receive(data, self.now)

    def exchange(self) -> None:
        """One turn: everything that may be said is said and heard, and no time passes."""
        for _ in range(10_000):
            self.write()
            if not self.down and not self.up:
                return
            self.carry()
        raise AssertionError("the two never fall silent")

    def settle(self) -> None:
        """Exchange, with time for what waits for time, until nothing moves any more."""
        for _ in range(10_000):
            before = len(self.relay.raw) + len(self.connector.raw)
            self.exchange()
            self.now += 0.25
            self.relay.lane.tick(self.now)
            self.connector.lane.tick(self.now)
            self.exchange()
            for end in (self.relay, self.connector):
                for heard in end.heard.values():
                    if end.drains:
                        heard.drain()
            if len(self.relay.raw) + len(self.connector.raw) == before:
                return
        raise AssertionError("the two never fall silent")

    # -- what the test says -------------------------------------------------------------------

    def open(self, kind: str = "http", **arguments: object) -> tuple[Stream, Stream]:
        """A stream, open at both ends: the relay's, the connector's."""
        mine = self.relay.lane.open(kind, **arguments)  # type: ignore[arg-type]
        self.relay.heard[mine.id] = Heard(mine)
        self.exchange()
        return mine, self.connector.heard[mine.id].stream

    def said(self, stream: Stream) -> Heard:
        """What the relay heard on a stream."""
        return self.relay.heard[stream.id]

    def got(self, stream: Stream) -> Heard:
        """What the connector heard on a stream."""
        return self.connector.heard[stream.id]

    def assert_clean(self) -> None:
        """Nothing is left of any stream, at either end."""
        for end in (self.relay, self.connector):
            assert end.lane.streams == {}
            assert end.lane.waiting == {}
            assert end.budget.used == 0


@dataclass(frozen=True)
class Frame:
    """A frame as it stood on the wire."""

    kind: int
    stream: int
    payload: bytes

    @property
    def record(self) -> Open:
        return decode_open(self.payload)


def frames_of(data: bytes) -> list[Frame]:
    """The frames in ``data``, whole."""
    found: list[Frame] = []
    position = 0
    while position < len(data):
        word, stream = frames.HEADER.unpack_from(data, position)
        end = position + frames.HEADER_SIZE + (word & frames.LENGTH_MASK)
        assert end <= len(data), "a frame is cut short"
        payload = bytes(data[position + frames.HEADER_SIZE : end])
        found.append(Frame(word >> 24, stream, payload))
        position = end
    return found


def lane_frames_of(data: bytes) -> list[Frame]:
    """The counted frames in ``data``."""
    return [frame for frame in frames_of(data) if not frame.kind & frames.LINK]


def parse(data: bytes, *cuts: int) -> list[tuple[int, int, bytes]]:
    """What a parser makes of ``data`` in pieces, with the parts of each DATA joined."""
    parser = FrameParser()
    joined: list[tuple[int, int, bytes]] = []
    part = b""
    start = 0
    for end in (*sorted(cuts), len(data)):
        for kind, stream, payload, complete in parser.receive_data(data[start:end]):
            part += bytes(payload)
            if complete:
                joined.append((kind, stream, part))
                part = b""
        start = end
    assert not part
    assert parser.between_frames
    return joined
