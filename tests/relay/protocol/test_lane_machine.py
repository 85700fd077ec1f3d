"""Two lanes, their links and everything that may happen to them, in any order.

The machine plays the shells by their rules: links are dialled, accepted late or never, replaced,
cut at any byte, and bytes of an older generation are thrown away. Whatever happens, both ends hear
the same of every stream, once and in order, inside their budgets; at the end nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from lane_pair import End, Heard

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import FIRST_CREDIT, ReceiveBudget, ReplayBudget
from underpass.relay.protocol.errors import OverLimit
from underpass.relay.protocol.frames import BLOCK_LIMIT, frame
from underpass.relay.protocol.stream import Stream

SIZES = st.sampled_from([0, 1, 7, 100, 4_096, 16_384, 16_385, 40_000, 65_536, 200_000])
CODES = st.sampled_from(["visitor-left", "origin-gone", "over-limit"])
BYTES = st.one_of(st.integers(0, 40), st.integers(0, 70_000))
PING = frame(frames.PING, 0, b"question")
PONG = frame(frames.PONG, 0, b"question")


@dataclass
class Wire:
    """A link: what was said on it and did not arrive yet, and what both ends think of it."""

    generation: int
    told: int
    """The connector's offset in its HELLO."""
    credit: int
    down: bytearray = field(default_factory=bytearray)
    up: bytearray = field(default_factory=bytearray)
    accepted: bool = False
    welcome: tuple[int, int] | None = None
    dead: bool = False


@dataclass
class Said:
    """What one end said on one stream."""

    stream: Stream
    heads: list[bytes] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[bytes] = field(default_factory=list)
    ended: bool = False
    broken: bool = False


class LaneLife:
    """One lane id: both ends, its links, and what was said."""

    def __init__(self, machine: Lanes) -> None:
        self.machine = machine
        self.relay = End(
            opener=True,
            budget=machine.relay_budget,
            account=machine.relay_account,
            now=machine.now,
            drains=False,
        )
        self.connector = End(
            opener=False,
            budget=machine.connector_budget,
            account=machine.connector_account,
            now=machine.now,
            drains=False,
        )
        self.wires: list[Wire] = []
        self.generation = 0
        self.at_relay: Wire | None = None
        self.at_connector: Wire | None = None
        self.candidate: Wire | None = None
        self.said: dict[tuple[str, int], Said] = {}
        self.stopped: set[tuple[str, int]] = set()
        self.relay_gone = False
        self.connector_gone = False

    # -- links, by the shells' rules ----------------------------------------------------------

    def dial(self) -> None:
        """The connector introduces a new link; from here on the older ones do not count."""
        lane = self.connector.lane
        self.generation += 1
        lane.detach(self.machine.now)
        self.at_connector = None
        self.candidate = Wire(self.generation, lane.received, lane.first_credit)
        self.wires.append(self.candidate)

    def accept(self, wire: Wire) -> None:
        """The HELLO of ``wire`` reaches the relay, now or long after later ones."""
        lane = self.relay.lane
        if wire.accepted or wire.dead:
            return
        if wire.generation <= lane.generation:
            wire.dead = True  # stale-link: that link alone is closed
            return
        wire.accepted = True
        wire.welcome = (lane.received, lane.first_credit)
        lane.attach(
            generation=wire.generation,
            peer_received=wire.told,
            peer_credit=wire.credit,
            now=self.machine.now,
        )
        self.at_relay = wire
        self.relay.lane.send_link_frame(PING)
        self.relay.hear()

    def welcome(self, wire: Wire) -> None:
        """The WELCOME reaches the connector; it counts on the link introduced last only."""
        if wire.welcome is None or wire is not self.candidate or wire.dead:
            return
        received, credit = wire.welcome
        self.candidate = None
        self.at_connector = wire
        self.connector.lane.attach(
            generation=wire.generation,
            peer_received=received,
            peer_credit=credit,
            now=self.machine.now,
        )
        self.connector.lane.send_link_frame(PING)
        self.connector.hear()

    def relay_notices(self) -> None:
        if self.at_relay is not None:
            self.at_relay = None
            self.relay.lane.detach(self.machine.now)

    def connector_notices(self) -> None:
        self.candidate = None
        if self.at_connector is not None:
            self.at_connector = None
            self.connector.lane.detach(self.machine.now)

    def arrive(self, wire: Wire, *, down: bool, count: int) -> None:
        """Bytes of a link arrive; those of an older generation are not listened to."""
        held = wire.down if down else wire.up
        data = bytes(held[:count])
        del held[:count]
        end = self.connector if down else self.relay
        if data and wire is (self.at_connector if down else self.at_relay):
            end.receive(data, self.machine.now)
            for kind, payload in end.links:
                assert payload == b"question"
                if kind == frames.PING:
                    end.lane.send_link_frame(PONG)
            end.links.clear()

    def write(self) -> None:
        if self.at_relay is not None:
            self.at_relay.down += self.relay.write(self.machine.now)
        if self.at_connector is not None:
            self.at_connector.up += self.connector.write(self.machine.now)

    # -- streams ------------------------------------------------------------------------------

    def heard_by_peer(self, key: tuple[str, int]) -> Heard | None:
        side, number = key
        peer = self.connector if side == "relay" else self.relay
        return peer.heard.get(number)

    def notice_opened(self) -> None:
        """The connector's side of every stream that reached it may be used."""
        for number, heard in self.connector.heard.items():
            if heard.record is not None and ("connector", number) not in self.said:
                self.said[("connector", number)] = Said(heard.stream)

    def check(self) -> None:
        """What was heard is a beginning of what was said, and the whole of it at an end."""
        self.notice_opened()
        for key, said in self.said.items():
            heard = self.heard_by_peer(key)
            if heard is None:
                continue
            assert said.heads[: len(heard.heads)] == heard.heads
            assert said.body.startswith(heard.body)
            assert said.trailers[: len(heard.trailers)] == heard.trailers
            if heard.ended:
                assert said.ended
                assert not said.broken
                assert (heard.heads, heard.body, heard.trailers) == (
                    said.heads,
                    said.body,
                    said.trailers,
                )


class Lanes(RuleBasedStateMachine):
    """Two lanes between one relay and one connector."""

    relay_budget: ReceiveBudget
    connector_budget: ReceiveBudget
    lives: list[LaneLife]

    @initialize(tight=st.sampled_from([None, 5, 40]), elsewhere=st.sampled_from([None, 5, 40]))
    def begin(self, tight: int | None, elsewhere: int | None) -> None:
        self.now = 0.0
        self.relay_budget = ReceiveBudget(*([FIRST_CREDIT * tight] if tight else []))
        self.connector_budget = ReceiveBudget(*([FIRST_CREDIT * elsewhere] if elsewhere else []))
        self.relay_account = ReplayBudget().account()
        self.connector_account = ReplayBudget().account()
        self.lives = [LaneLife(self), LaneLife(self)]
        self.over: list[LaneLife] = []
        for life in self.lives:
            life.dial()
            life.accept(life.candidate)  # type: ignore[arg-type]
            life.welcome(life.candidate)  # type: ignore[arg-type]

    def life(self, which: int) -> LaneLife:
        return self.lives[which % len(self.lives)]

    # -- time and bytes -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.21, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for life in self.lives:
            life.relay.lane.tick(self.now)
            life.connector.lane.tick(self.now)

    @rule(which=st.integers(0, 1))
    def ends_write(self, which: int) -> None:
        self.life(which).write()

    @rule(which=st.integers(0, 1), down=st.booleans(), count=BYTES, link=st.integers(0, 3))
    def bytes_arrive(self, which: int, down: bool, count: int, link: int) -> None:
        life = self.life(which)
        wire = life.wires[-1 - link % len(life.wires)]
        life.arrive(wire, down=down, count=count)

    @rule(which=st.integers(0, 1))
    def everything_flows(self, which: int) -> None:
        life = self.life(which)
        for _ in range(3):
            life.write()
            for wire in life.wires:
                life.arrive(wire, down=True, count=len(wire.down))
                life.arrive(wire, down=False, count=len(wire.up))

    # -- links --------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1))
    def connector_dials(self, which: int) -> None:
        self.life(which).dial()

    @rule(which=st.integers(0, 1), link=st.integers(0, 3))
    def relay_accepts(self, which: int, link: int) -> None:
        life = self.life(which)
        life.accept(life.wires[-1 - link % len(life.wires)])

    @rule(which=st.integers(0, 1))
    def connector_is_welcomed(self, which: int) -> None:
        life = self.life(which)
        if life.candidate is not None:
            life.welcome(life.candidate)

    @rule(which=st.integers(0, 1), relay=st.booleans(), connector=st.booleans())
    def link_dies(self, which: int, relay: bool, connector: bool) -> None:
        life = self.life(which)
        if relay:
            life.relay_notices()
        if connector:
            life.connector_notices()

    @rule(which=st.integers(0, 1), down=BYTES, up=BYTES)
    def link_breaks_in_the_middle(self, which: int, down: int, up: int) -> None:
        life = self.life(which)
        life.write()
        for wire in life.wires[-1:]:
            life.arrive(wire, down=True, count=down)
            life.arrive(wire, down=False, count=up)
        self.link_is_renewed(which)

    @rule(which=st.integers(0, 1))
    def link_is_renewed(self, which: int) -> None:
        life = self.life(which)
        life.dial()
        assert life.candidate is not None
        life.accept(life.candidate)
        life.welcome(life.candidate)

    # -- streams ------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 1),
        head=st.sampled_from([None, 10, 9_000, 30_000, BLOCK_LIMIT]),
        body=st.sampled_from([0, 5, 8_000, 20_000]),
        end=st.booleans(),
        count=st.integers(1, 3),
    )
    def visitors_come(self, which: int, head: int | None, body: int, end: bool, count: int) -> None:
        life = self.life(which)
        if life.relay.lane.attached:
            for _ in range(count):
                self.visitor_comes(life, head, body, end=end)
        else:
            self.link_is_renewed(which)

    def visitor_comes(self, life: LaneLife, head: int | None, body: int, *, end: bool) -> None:
        lane = life.relay.lane
        if len(lane.streams) > 20:
            return
        request = None if head is None else b"q" * head
        upload = b"u" * body if head is not None and end else b""
        try:
            stream = lane.open(
                "tcp" if head is None else "http",
                head=request,
                body=upload,
                end=end and head is not None,
            )
        except OverLimit:
            return
        life.relay.heard[stream.id] = Heard(stream)
        said = life.said[("relay", stream.id)] = Said(stream, body=bytearray(upload))
        if request is not None:
            said.heads.append(request)
            said.ended = end

    def pick(self, which: int, choice: int) -> tuple[LaneLife, tuple[str, int], Said] | None:
        life = self.life(which)
        life.notice_opened()
        open_ones = [
            (key, said)
            for key, said in life.said.items()
            if not (said.ended or said.broken)
            and (life.relay if key[0] == "relay" else life.connector).heard[key[1]].stopped is None
        ]
        if not open_ones:
            return None
        return (life, *open_ones[choice % len(open_ones)])

    @rule(which=st.integers(0, 1), choice=st.integers(0, 50), size=SIZES)
    def body_is_sent(self, which: int, choice: int, size: int) -> None:
        picked = self.pick(which, choice)
        if picked is None:
            return
        _, _, said = picked
        data = bytes((len(said.body) % 251,)) * min(size, said.stream.room)
        said.body += data
        said.stream.send_data(data)

    @rule(which=st.integers(0, 1), choice=st.integers(0, 50), size=st.sampled_from([3, 9_000]))
    def head_is_sent(self, which: int, choice: int, size: int) -> None:
        picked = self.pick(which, choice)
        if picked is None or picked[2].body:
            return
        said = picked[2]
        said.heads.append(b"h" * (size + len(said.heads)))
        said.stream.send_informational(said.heads[-1])

    @rule(which=st.integers(0, 1), choice=st.integers(0, 50), trailers=st.booleans())
    def direction_ends(self, which: int, choice: int, trailers: bool) -> None:
        picked = self.pick(which, choice)
        if picked is None:
            return
        said = picked[2]
        if trailers:
            said.trailers.append(b"t" * 30)
            said.stream.send_trailers(said.trailers[-1])
        said.ended = True
        said.stream.send_end()

    @rule(which=st.integers(0, 1), choice=st.integers(0, 50), size=st.sampled_from([10, 15_000]))
    def whole_answer_is_sent(self, which: int, choice: int, size: int) -> None:
        picked = self.pick(which, choice)
        if picked is None or picked[2].body:
            return
        said = picked[2]
        said.heads.append(b"a" * 20)
        said.body += b"w" * size
        said.ended = True
        said.stream.send_head(said.heads[-1], b"w" * size, end=True)

    @rule(which=st.integers(0, 1), choice=st.integers(0, 50), code=CODES)
    def direction_is_aborted(self, which: int, choice: int, code: str) -> None:
        life = self.life(which)
        life.notice_opened()
        if life.said:
            said = list(life.said.values())[choice % len(life.said)]
            if said.stream.abort(code):
                said.broken = True
                said.ended = False

    @rule(which=st.integers(0, 1), choice=st.integers(0, 50), code=CODES)
    def direction_is_stopped(self, which: int, choice: int, code: str) -> None:
        life = self.life(which)
        life.notice_opened()
        if life.said:
            (side, number), said = list(life.said.items())[choice % len(life.said)]
            said.stream.stop(code)
            life.stopped.add((side, number))

    @rule(which=st.integers(0, 1), amount=st.sampled_from([1, 1_000, 16_384, 1_000_000]))
    def readers_drain(self, which: int, amount: int) -> None:
        life = self.life(which)
        for end in (life.relay, life.connector):
            for heard in end.heard.values():
                heard.drain(amount)

    # -- restarts -----------------------------------------------------------------------------

    @precondition(lambda self: len(self.over) < 4)
    @rule(which=st.integers(0, 1), relay_first=st.booleans())
    def lane_is_lost(self, which: int, relay_first: bool) -> None:
        """One side forgot the lane; the other learns it as ``unknown-lane`` or by the violation."""
        life = self.lives.pop(which % len(self.lives))
        ends = [life.relay, life.connector]
        for end in ends if relay_first else reversed(ends):
            end.lane.close("lane-lost")
            end.hear()
        self.over.append(life)
        for end in ends:
            for heard in end.heard.values():
                heard.drain()  # of streams that were over already
            assert end.lane.streams == {}
            assert end.lane.buffered == 0
            for heard in end.heard.values():
                assert heard.over or heard.stream.discarding
        fresh = LaneLife(self)
        self.lives.append(fresh)
        fresh.dial()
        assert fresh.candidate is not None
        fresh.accept(fresh.candidate)
        fresh.welcome(fresh.candidate)

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def both_agree(self) -> None:
        for life in getattr(self, "lives", []):
            life.check()

    @invariant()
    def memory_is_bounded(self) -> None:
        if not hasattr(self, "lives"):
            return
        for budget, ends in (
            (self.relay_budget, [life.relay for life in self.lives]),
            (self.connector_budget, [life.connector for life in self.lives]),
        ):
            assert 0 <= budget.used <= budget.limit
            held = 0
            for end in ends:
                streams = {heard.stream for heard in end.heard.values()}
                streams |= set(end.lane.streams.values())
                held += sum(
                    one.outstanding + one.undrained for one in streams if not one.discarding
                )
            assert budget.used == held
        for life in self.lives:
            for end in (life.relay, life.connector):
                lane = end.lane
                queued = sum(stream.queued for stream in lane.streams.values())
                control = sum(map(len, lane._control))
                assert lane.buffered == lane._outbox.logged + queued + control

    def teardown(self) -> None:
        if not hasattr(self, "lives"):
            return
        for life in self.lives:
            self.finish(life)
            life.check()
            for key, said in life.said.items():
                heard = life.heard_by_peer(key)
                mine = (life.relay if key[0] == "relay" else life.connector).heard[key[1]]
                if said.ended and heard is not None and heard.aborted is None:
                    over = heard.ended or heard.stream.discarding or mine.stopped is not None
                    assert over, f"{key} never ended"
                if heard is not None and heard.ended:
                    assert heard.body == said.body
            for end in (life.relay, life.connector):
                assert end.lane.streams == {}
                assert end.lane.waiting == {}
                assert end.lane.buffered == 0
        assert self.relay_budget.used == 0
        assert self.connector_budget.used == 0
        assert self.relay_account.used == 0
        assert self.connector_account.used == 0

    def finish(self, life: LaneLife) -> None:
        """A healthy link and readers that read: everything comes to its end."""
        life.dial()
        assert life.candidate is not None
        life.accept(life.candidate)
        life.welcome(life.candidate)
        self.flow(life)
        life.notice_opened()
        for said in life.said.values():
            if not said.ended and not said.broken:
                said.ended = True
                said.stream.send_end()
        self.flow(life)

    def flow(self, life: LaneLife) -> None:
        quiet = turns = 0
        while quiet < 3:
            turns += 1
            assert turns < 2_000, "the two never fall silent"
            life.write()
            wire = life.at_relay
            assert wire is not None
            assert wire is life.at_connector
            quiet = 0 if wire.down or wire.up else quiet + 1
            life.arrive(wire, down=True, count=len(wire.down))
            life.arrive(wire, down=False, count=len(wire.up))
            life.notice_opened()
            for end in (life.relay, life.connector):
                for heard in end.heard.values():
                    heard.drain()
            self.now += 0.25
            life.relay.lane.tick(self.now)
            life.connector.lane.tick(self.now)


TestLanes = pytest.mark.pure(Lanes.TestCase)
TestLanes.settings = settings(
    max_examples=max(12, settings().max_examples // 8), stateful_step_count=80
)
