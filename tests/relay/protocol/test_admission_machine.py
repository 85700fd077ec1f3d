"""A relay, its disk and several connectors of one key, in any order of events.

The machine carries decisions out as the relay's server must, and remembers what was promised to
whom. It may crash, lose its memory, get an older disk back, see links die and connectors freeze.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from underpass.model.errors_relay import NameContended, Superseded
from underpass.relay.protocol.admission import (
    CONTENTION_LIMIT,
    CONTENTION_WINDOW,
    AskHolder,
    Decision,
    Holder,
    KeyView,
    LiveView,
    NameView,
    NewInstance,
    NewLane,
    Refusal,
    Resume,
    decide,
)
from underpass.relay.protocol.records import Hello, Terms
from underpass.relay.protocol.refusals import StaleLink, UnknownLane, UnknownSession

pytestmark = pytest.mark.pure


@dataclass(eq=False)
class Connector:
    """One process; may run several instances one after the other."""

    instance: bytes
    epoch: int = 0
    alive: bool = True
    stood_down: bool = False
    generation: int = 0
    welcomed: set[bytes] = field(default_factory=set)
    """Lanes of the present instance that were welcomed, as far as the connector knows."""


@dataclass(eq=False)
class Session:
    owner: Connector
    instance: bytes
    lanes: dict[bytes, int] = field(default_factory=dict)
    linked: bool = True


class Admission(RuleBasedStateMachine):
    connectors = Bundle("connectors")

    @initialize()
    def start(self) -> None:
        self.ids = count(1)
        self.now = 1_000_000.0
        self.disk: NameView | None = None
        self.backup: NameView | None = None
        self.session: Session | None = None
        self.takeovers: list[float] = []
        self.issued: dict[bytes, int] = {}
        self.highest = 0
        self.restored = False
        self.ended: set[bytes] = set()

    def fresh_id(self) -> bytes:
        return next(self.ids).to_bytes(16, "big")

    # What connectors do

    @rule(target=connectors)
    def a_process_starts(self) -> Connector:
        return Connector(self.fresh_id())

    @rule(connector=connectors, welcome_arrives=st.booleans(), data=st.data())
    def a_connector_dials(
        self, connector: Connector, welcome_arrives: bool, data: st.DataObject
    ) -> None:
        if connector.stood_down or not connector.alive:
            return
        if not connector.epoch:
            lane = connector.instance  # its first lane, repeated until it is welcomed
        elif connector.welcomed and data.draw(st.booleans(), label="resume"):
            lane = data.draw(st.sampled_from(sorted(connector.welcomed)), label="lane")
        else:
            lane = self.fresh_id()
        connector.generation += 1
        said = self.hello(connector, lane, connector.generation)
        decision = self.admit(said, connector)
        if welcome_arrives:
            self.hear(connector, lane, decision)
        elif not isinstance(decision, Refusal):
            assert self.session is not None
            self.session.linked = False

    @rule(target=connectors, count=st.integers(2, 5))
    def processes_start_one_after_the_other(self, count: int) -> Connector:
        for _ in range(count):
            newcomer = Connector(self.fresh_id(), generation=1)
            lane = newcomer.instance
            self.hear(newcomer, lane, self.admit(self.hello(newcomer, lane, 1), newcomer))
        return newcomer

    @rule(back=st.integers(0, 3))
    def a_delayed_link_of_the_holder_arrives(self, back: int) -> None:
        if self.session is None:
            return
        holder = self.session.owner
        lane, accepted = max(self.session.lanes.items())
        if holder.instance == self.session.instance:
            decision = self.admit(self.hello(holder, lane, max(1, accepted - back)), holder)
            assert isinstance(decision, Refusal)
            assert isinstance(decision.error, StaleLink)

    @rule(connector=connectors)
    def a_connector_freezes(self, connector: Connector) -> None:
        connector.alive = False

    @rule(connector=connectors)
    def a_connector_thaws(self, connector: Connector) -> None:
        connector.alive = True

    @rule()
    def the_links_break(self) -> None:
        if self.session:
            self.session.linked = False

    @rule(seconds=st.sampled_from([0.5, 5.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # What happens to the relay

    @rule()
    def the_relay_restarts(self) -> None:
        self.session = None
        self.takeovers.clear()

    # The relay's shell

    def hello(self, connector: Connector, lane: bytes, generation: int) -> Hello:
        return Hello(
            relay="relay",
            nonce=b"n" * 32,
            key=b"k" * 32,
            name="tools",
            instance=connector.instance,
            epoch=connector.epoch,
            lane=lane,
            generation=generation,
            fresh=lane not in connector.welcomed,
            credit=1,
            terms=Terms(kind="http", lease_end=self.now + 3600),
        )

    def live(self, holder: Holder) -> LiveView:
        if self.session is None:
            return LiveView(takeovers=tuple(self.takeovers))
        return LiveView(
            instance=self.session.instance,
            lanes=dict(self.session.lanes),
            linked=self.session.linked,
            takeovers=tuple(self.takeovers),
            holder=holder,
        )

    def admit(self, said: Hello, connector: Connector) -> Decision:
        counted = [at for at in self.takeovers if self.now - at < CONTENTION_WINDOW]
        key = KeyView("mine")
        decision = decide(said, "mine", key, self.disk, self.live(Holder.UNASKED), self.now)
        if isinstance(decision, AskHolder):
            assert self.session is not None
            assert self.session.linked
            assert len(counted) >= CONTENTION_LIMIT
            holder = Holder.ALIVE if self.session.owner.alive else Holder.SILENT
            decision = decide(said, "mine", key, self.disk, self.live(holder), self.now)
            assert isinstance(decision, NewInstance) == (holder is Holder.SILENT)
        assert not isinstance(decision, AskHolder)
        self.carry_out(said, decision, connector)
        assert self.disk is None or self.disk.epoch >= said.epoch
        return decision

    def carry_out(self, said: Hello, decision: Decision, connector: Connector) -> None:
        before = self.disk
        match decision:
            case NewInstance():
                self.begin(said, decision, connector)
            case NewLane() | Resume():
                assert self.session is not None
                assert self.session.instance == said.instance
                assert decision.epoch >= self.issued[said.instance]
                assert self.restored or decision.epoch == self.issued[said.instance]
                self.session.lanes[said.lane] = said.generation
                self.session.linked = True
                assert self.disk == before
            case Refusal() if decision.raise_to:
                view = self.disk or NameView("mine")
                assert decision.raise_to > view.epoch
                self.disk = replace(view, epoch=decision.raise_to)
            case Refusal():
                assert self.disk == before

    def begin(self, said: Hello, decision: NewInstance, connector: Connector) -> None:
        assert decision.claims == (self.disk is None)
        assert decision.supersedes == (self.session is not None)
        view = self.disk or NameView("mine")
        if decision.raises:
            assert decision.epoch == view.epoch + 1
            past = view.past | {view.instance} if view.instance else view.past
            self.disk = replace(view, epoch=decision.epoch, instance=said.instance, past=past)
        else:
            assert view.instance == said.instance
            assert decision.epoch == view.epoch
        old = self.session
        if old is not None and old.owner is not connector:
            if old.linked and old.owner.alive:
                self.takeovers.append(self.now)
                recent = [at for at in self.takeovers if self.now - at < CONTENTION_WINDOW]
                assert len(recent) <= CONTENTION_LIMIT
                old.owner.stood_down = True
            self.ended.add(old.instance)
        if not self.restored:
            if decision.raises:
                assert decision.epoch > self.highest
            else:
                assert decision.epoch == self.issued.get(said.instance)
        self.issued[said.instance] = decision.epoch
        self.highest = max(self.highest, decision.epoch)
        self.session = Session(connector, said.instance, {said.lane: said.generation})

    def hear(self, connector: Connector, lane: bytes, decision: Decision) -> None:
        match decision:
            case NewInstance() | NewLane() | Resume():
                connector.epoch = decision.epoch
                connector.welcomed.add(lane)
            case Refusal(error=Superseded()):
                connector.stood_down = True
            case Refusal(error=UnknownSession()):
                connector.instance = self.fresh_id()
                connector.epoch = 0
                connector.welcomed.clear()
            case Refusal(error=UnknownLane()):
                connector.welcomed.discard(lane)
            case Refusal(error=error):
                assert isinstance(error, NameContended)

    # What always holds

    @invariant()
    def the_session_is_the_instance_on_disk(self) -> None:
        if self.session is not None:
            assert self.disk is not None
            assert self.session.instance == self.disk.instance

    @invariant()
    def an_ended_instance_never_comes_back(self) -> None:
        if self.session is not None and not self.restored:
            assert self.session.instance not in self.ended

    @invariant()
    def epochs_of_an_unharmed_disk_never_fall(self) -> None:
        if not self.restored:
            assert self.highest == (self.disk.epoch if self.disk else 0)


class AdmissionWithRestoredDisk(Admission):
    @rule()
    def the_disk_is_backed_up(self) -> None:
        self.backup = self.disk

    @rule()
    def an_older_disk_is_restored(self) -> None:
        self.session = None
        self.takeovers.clear()
        self.disk = self.backup
        self.restored = True


SETTINGS = settings(max_examples=150, stateful_step_count=40, deadline=None)

TestAdmission = Admission.TestCase
TestAdmission.settings = SETTINGS
TestAdmissionWithRestoredDisk = AdmissionWithRestoredDisk.TestCase
TestAdmissionWithRestoredDisk.settings = SETTINGS
