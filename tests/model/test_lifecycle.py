"""The table of states: what it promises about every path through it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.model.lifecycle import (
    TRANSITIONS,
    ImpossibleTransition,
    Trigger,
    TunnelState,
    after,
    diagram,
)

ENDINGS = [Trigger.CLOSE, Trigger.LEASE_ENDED, Trigger.SUPERSEDED]


def test_an_ordinary_life() -> None:
    state = TunnelState.OPENING
    lived = [state]
    for trigger in (
        Trigger.CARRIED,
        Trigger.PROOF_PASSED,
        Trigger.LINK_LOST,
        Trigger.CARRIED,
        Trigger.PROOF_PASSED,
        Trigger.CLOSE,
        Trigger.RELEASED,
    ):
        state = after(state, trigger)
        lived.append(state)
    assert lived == [
        "opening",
        "proving",
        "live",
        "failing",
        "failing",
        "live",
        "closing",
        "closed",
    ]


def test_live_is_entered_by_a_passed_proof_and_by_nothing_else() -> None:
    into_live = {
        trigger
        for state, row in TRANSITIONS.items()
        for trigger, target in row.items()
        if target is TunnelState.LIVE and state is not TunnelState.LIVE
    }
    assert into_live == {Trigger.PROOF_PASSED}


def test_a_tunnel_without_an_address_cannot_be_proved() -> None:
    with pytest.raises(ImpossibleTransition) as caught:
        after(TunnelState.OPENING, Trigger.PROOF_PASSED)
    assert caught.value.code == "impossible-transition"
    assert str(caught.value) == "cannot follow 'proof passed' in a tunnel that is opening"


@pytest.mark.parametrize("trigger", Trigger)
def test_closed_is_the_end(trigger: Trigger) -> None:
    with pytest.raises(ImpossibleTransition):
        after(TunnelState.CLOSED, trigger)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("state", [state for state in TunnelState if state != "closed"])
def test_every_tunnel_can_be_ended(state: TunnelState, ending: Trigger) -> None:
    assert after(state, ending) is TunnelState.CLOSING


@given(st.lists(st.sampled_from(Trigger)))
def test_a_tunnel_that_is_closing_never_comes_back(triggers: list[Trigger]) -> None:
    state = TunnelState.CLOSING
    for trigger in triggers:
        if state is TunnelState.CLOSED:
            break
        state = after(state, trigger)
        assert state in {TunnelState.CLOSING, TunnelState.CLOSED}


def test_the_diagram_is_drawn_from_the_table() -> None:
    lines = diagram().splitlines()
    assert lines[:3] == [
        "stateDiagram-v2",
        "    [*] --> opening",
        "    opening --> proving: carried",
    ]
    assert lines[-1] == "    closed --> [*]"
    changes = sum(state is not to for state, row in TRANSITIONS.items() for to in row.values())
    assert len(lines) == changes + 3
