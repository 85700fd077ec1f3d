from __future__ import annotations

import pytest

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import (
    KeyRevoked,
    KeyUnknown,
    LeaseExpired,
    NameContended,
    NameNotYours,
    NameTaken,
    Superseded,
)
from underpass.relay.protocol.admission import (
    CONTENTION_LIMIT,
    CONTENTION_WINDOW,
    HIGHEST_EPOCH,
    AskHolder,
    Bounds,
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
from underpass.relay.protocol.records import Hello, Refuse, Terms
from underpass.relay.protocol.refusals import (
    BadHello,
    EnrolmentRefused,
    StaleLink,
    TooManyLanes,
    TooManyNames,
    UnknownLane,
    UnknownSession,
    refusal,
)

pytestmark = pytest.mark.pure

NOW = 1_000_000.0
END = NOW + 3600.0
MINE, THEIRS = "mine", "theirs"
I1, I2, I3 = b"1" * 16, b"2" * 16, b"3" * 16
LANE, OTHER_LANE = b"a" * 16, b"b" * 16
KEY = KeyView(MINE)


def hello(
    instance: bytes = I1,
    *,
    epoch: int = 0,
    lane: bytes = LANE,
    generation: int = 1,
    fresh: bool = True,
    lease_end: float = END,
    name: str = "tools",
) -> Hello:
    return Hello(
        relay="relay.example.com",
        nonce=b"n" * 32,
        key=b"k" * 32,
        name=name,
        instance=instance,
        epoch=epoch,
        lane=lane,
        generation=generation,
        fresh=fresh,
        credit=65536,
        terms=Terms(kind="http", lease_end=lease_end),
    )


def ask(
    said: Hello,
    name: NameView | None = None,
    live: LiveView = LiveView(),  # noqa: B008
    *,
    key: KeyView | None = KEY,
    now: float = NOW,
    bounds: Bounds = Bounds(),  # noqa: B008
) -> Decision:
    return decide(said, MINE, key, name, live, now, bounds)


def refused(decision: Decision) -> UnderpassError:
    assert isinstance(decision, Refusal)
    return decision.error


HELD = NameView(MINE, epoch=5, instance=I1)
"""The name belongs to us; instance 1 got epoch 5."""
LIVE = LiveView(instance=I1, lanes={LANE: 3}, linked=True)


class TestKeys:
    def test_an_unknown_key_is_asked_to_enrol(self) -> None:
        assert isinstance(refused(ask(hello(), key=None)), KeyUnknown)

    def test_a_revoked_key_is_refused(self) -> None:
        assert isinstance(refused(ask(hello(), key=KeyView(MINE, revoked=True))), KeyRevoked)

    def test_a_revoked_key_is_refused_even_where_its_lane_lives(self) -> None:
        decision = ask(hello(epoch=5, generation=4), HELD, LIVE, key=KeyView(MINE, revoked=True))
        assert isinstance(refused(decision), KeyRevoked)

    def test_revocation_is_told_before_the_end_of_the_lease(self) -> None:
        decision = ask(hello(lease_end=NOW - 1), key=KeyView(MINE, revoked=True))
        assert isinstance(refused(decision), KeyRevoked)

    def test_an_unknown_key_learns_nothing_of_the_name(self) -> None:
        taken = NameView(THEIRS, epoch=1)
        assert isinstance(refused(ask(hello(), taken, key=None)), KeyUnknown)


class TestLease:
    @pytest.mark.parametrize("end", [NOW, NOW - 1, 0.0, -1.0, float("nan"), float("-inf")])
    def test_a_lease_that_has_ended_is_refused(self, end: float) -> None:
        assert isinstance(refused(ask(hello(lease_end=end))), LeaseExpired)

    def test_a_lease_is_told_before_the_epoch(self) -> None:
        decision = ask(hello(epoch=4, lease_end=NOW - 1), HELD, LIVE)
        assert isinstance(refused(decision), LeaseExpired)

    def test_the_end_that_was_asked_for_is_granted(self) -> None:
        assert ask(hello()) == NewInstance(1, END, claims=True)

    @pytest.mark.parametrize("end", [NOW + 11, float("inf")])
    def test_no_lease_is_longer_than_the_relay_allows(self, end: float) -> None:
        decision = ask(hello(lease_end=end), bounds=Bounds(lease_seconds=10))
        assert decision == NewInstance(1, NOW + 10, claims=True)

    def test_a_resumed_link_renews_the_lease(self) -> None:
        decision = ask(hello(epoch=5, generation=4, lease_end=END + 7200), HELD, LIVE)
        assert decision == Resume(5, END + 7200)

    def test_a_resumed_link_may_shorten_the_lease(self) -> None:
        decision = ask(hello(epoch=5, generation=4, lease_end=NOW + 1), HELD, LIVE)
        assert decision == Resume(5, NOW + 1)


class TestOwnership:
    def test_a_free_name_is_claimed_at_epoch_one(self) -> None:
        assert ask(hello()) == NewInstance(1, END, claims=True)

    def test_a_name_of_another_key_is_taken(self) -> None:
        assert isinstance(refused(ask(hello(), NameView(THEIRS, epoch=9))), NameTaken)

    def test_a_name_that_was_given_away_is_not_yours(self) -> None:
        decision = ask(hello(epoch=9, fresh=False), NameView(THEIRS, epoch=9, instance=I1))
        assert isinstance(refused(decision), NameNotYours)

    def test_a_strangers_echo_raises_nothing(self) -> None:
        decision = ask(hello(epoch=90), NameView(THEIRS, epoch=9))
        assert isinstance(decision, Refusal)
        assert decision.raise_to == 0

    def test_a_key_owns_no_more_names_than_it_may(self) -> None:
        full = KeyView(MINE, names_owned=3, names_limit=3)
        assert isinstance(refused(ask(hello(), key=full)), TooManyNames)

    def test_a_full_key_still_opens_the_names_it_has(self) -> None:
        full = KeyView(MINE, names_owned=3, names_limit=3)
        decision = ask(hello(I2), NameView(MINE, epoch=5, instance=I1), key=full)
        assert decision == NewInstance(6, END)

    def test_a_name_that_was_never_opened_starts_at_epoch_one(self) -> None:
        assert ask(hello(), NameView(MINE)) == NewInstance(1, END)


class TestTakeover:
    def test_a_new_instance_takes_the_name_from_a_living_one(self) -> None:
        assert ask(hello(I2), HELD, LIVE) == NewInstance(6, END, supersedes=True)

    def test_a_new_instance_takes_the_name_from_a_vanished_one(self) -> None:
        assert ask(hello(I2), HELD) == NewInstance(6, END)

    def test_the_older_instance_is_superseded_for_good(self) -> None:
        name = NameView(MINE, epoch=6, instance=I2, past=frozenset({I1}))
        live = LiveView(instance=I2, lanes={OTHER_LANE: 1}, linked=True)
        decision = ask(hello(I1, epoch=5, generation=9, fresh=False), name, live)
        assert isinstance(refused(decision), Superseded)

    def test_an_older_instance_that_never_learned_its_epoch_is_superseded(self) -> None:
        name = NameView(MINE, epoch=6, instance=I2, past=frozenset({I1}))
        assert isinstance(refused(ask(hello(I1), name)), Superseded)

    def test_an_older_epoch_is_superseded_though_nobody_holds_the_name(self) -> None:
        name = NameView(MINE, epoch=6, instance=I2)
        assert isinstance(refused(ask(hello(I1, epoch=5), name)), Superseded)

    def test_superseded_comes_before_unknown_session(self) -> None:
        decision = ask(hello(I3, epoch=4, fresh=False), HELD, LIVE)
        assert isinstance(refused(decision), Superseded)


class TestRepeatedHello:
    def test_without_epoch_it_raises_nothing(self) -> None:
        assert ask(hello(I1, generation=4), HELD, LIVE) == Resume(5, END)

    def test_with_epoch_it_raises_nothing(self) -> None:
        assert ask(hello(I1, epoch=5, generation=4), HELD, LIVE) == Resume(5, END)

    def test_after_the_relay_restarted_it_gets_the_same_epoch(self) -> None:
        assert ask(hello(I1, generation=2), HELD) == NewInstance(5, END, raises=False)

    def test_it_does_not_count_as_contention(self) -> None:
        live = LiveView(
            instance=I1, lanes={LANE: 3}, linked=True, takeovers=(NOW,) * CONTENTION_LIMIT
        )
        assert ask(hello(I1, generation=4), HELD, live) == Resume(5, END)

    def test_a_session_that_ended_between_is_replaced_at_the_stored_epoch(self) -> None:
        live = LiveView(instance=I2, lanes={OTHER_LANE: 1}, linked=True)
        decision = ask(hello(I1), HELD, live)
        assert decision == NewInstance(5, END, raises=False, supersedes=True)


class TestRestarts:
    def test_an_instance_the_relay_forgot_is_an_unknown_session(self) -> None:
        decision = ask(hello(epoch=5, generation=9, fresh=False), HELD)
        assert isinstance(refused(decision), UnknownSession)

    def test_a_fresh_lane_of_a_forgotten_instance_is_an_unknown_session(self) -> None:
        assert isinstance(refused(ask(hello(epoch=5), HELD)), UnknownSession)

    def test_another_instance_with_the_stored_epoch_is_an_unknown_session(self) -> None:
        decision = ask(hello(I2, epoch=5), HELD, LIVE)
        assert isinstance(refused(decision), UnknownSession)

    def test_a_stranger_who_would_resume_without_epoch_is_an_unknown_session(self) -> None:
        decision = ask(hello(I2, fresh=False), HELD, LIVE)
        assert isinstance(refused(decision), UnknownSession)

    def test_an_unknown_lane_loses_that_lane_alone(self) -> None:
        decision = ask(hello(epoch=5, lane=OTHER_LANE, fresh=False), HELD, LIVE)
        assert isinstance(refused(decision), UnknownLane)

    def test_unknown_session_comes_before_unknown_lane(self) -> None:
        decision = ask(hello(epoch=5, lane=OTHER_LANE, fresh=False), HELD)
        assert isinstance(refused(decision), UnknownSession)


class TestRestoredDatabase:
    def test_an_echo_above_the_counter_raises_it_first(self) -> None:
        decision = ask(hello(I2, epoch=8, fresh=False), HELD)
        assert isinstance(refused(decision), UnknownSession)
        assert isinstance(decision, Refusal)
        assert decision.raise_to == 8

    def test_an_echo_of_a_lost_name_brings_the_counter_back(self) -> None:
        decision = ask(hello(I2, epoch=8, fresh=False), None)
        assert isinstance(refused(decision), UnknownSession)
        assert isinstance(decision, Refusal)
        assert decision.raise_to == 8

    def test_an_absurd_echo_is_refused(self) -> None:
        decision = ask(hello(epoch=HIGHEST_EPOCH + 1), HELD)
        assert isinstance(refused(decision), BadHello)
        assert isinstance(decision, Refusal)
        assert decision.raise_to == 0


class TestLanes:
    def test_a_known_lane_resumes_with_a_higher_generation(self) -> None:
        assert ask(hello(epoch=5, generation=4, fresh=False), HELD, LIVE) == Resume(5, END)

    @pytest.mark.parametrize("generation", [1, 2, 3])
    def test_a_generation_not_above_the_last_is_stale(self, generation: int) -> None:
        decision = ask(hello(epoch=5, generation=generation, fresh=False), HELD, LIVE)
        assert isinstance(refused(decision), StaleLink)

    def test_generations_of_different_lanes_are_independent(self) -> None:
        live = LiveView(instance=I1, lanes={LANE: 30, OTHER_LANE: 3}, linked=True)
        decision = ask(hello(epoch=5, lane=OTHER_LANE, generation=4, fresh=False), HELD, live)
        assert decision == Resume(5, END)

    def test_a_further_lane_joins_the_instance(self) -> None:
        assert ask(hello(epoch=5, lane=OTHER_LANE), HELD, LIVE) == NewLane(5, END)

    def test_a_lane_whose_welcome_was_lost_resumes(self) -> None:
        assert ask(hello(epoch=0, generation=4, fresh=True), HELD, LIVE) == Resume(5, END)

    def test_lanes_of_an_instance_are_bounded(self) -> None:
        live = LiveView(instance=I1, lanes={LANE: 1}, linked=True)
        decision = ask(hello(epoch=5, lane=OTHER_LANE), HELD, live, bounds=Bounds(lanes=1))
        assert isinstance(refused(decision), TooManyLanes)

    def test_a_full_instance_still_resumes(self) -> None:
        live = LiveView(instance=I1, lanes={LANE: 1}, linked=True)
        decision = ask(hello(epoch=5, generation=2), HELD, live, bounds=Bounds(lanes=1))
        assert decision == Resume(5, END)


def contended(holder: Holder = Holder.UNASKED, **changes: object) -> LiveView:
    settings: dict[str, object] = {
        "instance": I1,
        "lanes": {LANE: 1},
        "linked": True,
        "takeovers": (NOW - 30, NOW - 20, NOW - 10),
    }
    return LiveView(**{**settings, "holder": holder, **changes})  # type: ignore[arg-type]


class TestContention:
    def test_the_fourth_takeover_first_asks_the_holder(self) -> None:
        assert ask(hello(I2), HELD, contended()) == AskHolder()

    def test_a_holder_that_is_alive_stays(self) -> None:
        assert isinstance(refused(ask(hello(I2), HELD, contended(Holder.ALIVE))), NameContended)

    def test_the_newcomer_learns_when_to_come_back(self) -> None:
        decision = ask(hello(I2), HELD, contended(Holder.ALIVE))
        assert isinstance(decision, Refusal)
        assert decision.retry_after == CONTENTION_WINDOW - 30
        assert decision.record().retry_after == CONTENTION_WINDOW - 30

    def test_a_silent_holder_is_replaced(self) -> None:
        decision = ask(hello(I2), HELD, contended(Holder.SILENT))
        assert decision == NewInstance(6, END, supersedes=True)

    def test_a_holder_without_a_link_is_replaced_unasked(self) -> None:
        decision = ask(hello(I2), HELD, contended(linked=False))
        assert decision == NewInstance(6, END, supersedes=True)

    def test_a_holder_that_is_gone_is_replaced_unasked(self) -> None:
        decision = ask(hello(I2), HELD, contended(instance=b"", lanes={}, linked=False))
        assert decision == NewInstance(6, END)

    def test_three_takeovers_are_allowed(self) -> None:
        live = contended(takeovers=(NOW - 20, NOW - 10))
        assert ask(hello(I2), HELD, live) == NewInstance(6, END, supersedes=True)

    def test_old_takeovers_are_forgiven(self) -> None:
        live = contended(takeovers=(NOW - CONTENTION_WINDOW, NOW - 20, NOW - 10))
        assert ask(hello(I2), HELD, live) == NewInstance(6, END, supersedes=True)

    def test_open_questions_count_towards_asking(self) -> None:
        live = contended(takeovers=(NOW - 1,), unsettled=2)
        assert ask(hello(I2), HELD, live) == AskHolder()

    def test_open_questions_alone_refuse_nobody(self) -> None:
        live = contended(Holder.ALIVE, takeovers=(NOW - 1,), unsettled=2)
        assert ask(hello(I2), HELD, live) == NewInstance(6, END, supersedes=True)

    def test_an_old_instance_is_superseded_rather_than_contended(self) -> None:
        name = NameView(MINE, epoch=6, instance=I2, past=frozenset({I1}))
        live = contended(Holder.ALIVE, instance=I2)
        assert isinstance(refused(ask(hello(I1, epoch=5), name, live)), Superseded)


ALL_REFUSALS = [
    EnrolmentRefused("SHA256:x"),
    TooManyNames(3, 3),
    TooManyLanes("tools", 8),
    UnknownSession("tools"),
    UnknownLane("tools"),
    StaleLink("tools", 1, 2),
    BadHello("the epoch is out of range"),
]


class TestWords:
    @pytest.mark.parametrize("error", ALL_REFUSALS, ids=lambda error: error.code)
    def test_a_refusal_says_what_could_not_be_done(self, error: UnderpassError) -> None:
        record = refusal(error)
        assert isinstance(record, Refuse)
        assert record.message.startswith("cannot ")
        assert record.code == error.code

    def test_a_refusal_is_pinned_whole(self) -> None:
        assert refusal(StaleLink("tools", 1, 2)) == Refuse(
            code="stale-link", message="cannot attach link 1 of tools: link 2 came first"
        )
