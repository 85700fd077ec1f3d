"""The life of a tunnel as a conversation: what happens, what is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.events import (
    InstanceSuperseded,
    LeaseEnded,
    LeaseRenewed,
    LinkLost,
    LinkRestored,
    ProofFailed,
    ProofPassed,
    TunnelClosed,
    TunnelOpened,
)
from underpass.model.lifecycle import TunnelState
from underpass.model.verdict import Layer, LayerResult, LayerStatus, Verdict, judge
from underpass.supervise.lease import LeaseEnd
from underpass.supervise.machine import Machine

pytestmark = pytest.mark.pure

GOOD = judge(dict.fromkeys(Layer, LayerResult(LayerStatus.PASSED)), at=10.0)
UNSURE = judge({}, at=10.0)
LOST = LinkView(LinkPhase.LOST, "relay-unreachable")
ATTACHED = LinkView(LinkPhase.ATTACHED)


def bad(layer: Layer, code: str = "some-code") -> Verdict:
    return judge({layer: LayerResult(LayerStatus.FAILED, code)}, at=10.0)


def live() -> Machine:
    machine = Machine()
    machine.carried(1.0)
    machine.judged(GOOD)
    return machine


def test_a_tunnel_opens_is_proved_and_lives() -> None:
    machine = Machine()
    assert machine.state is TunnelState.OPENING
    assert machine.carried(1.0) == (TunnelOpened(1.0),)
    assert machine.state is TunnelState.PROVING
    assert machine.judged(GOOD) == (ProofPassed(10.0, GOOD),)
    assert machine.state is TunnelState.LIVE


def test_a_verdict_that_does_not_know_yet_is_no_failure_while_proving() -> None:
    machine = Machine()
    machine.carried(1.0)
    assert machine.judged(UNSURE) == ()
    assert machine.state is TunnelState.PROVING


def test_a_live_tunnel_must_be_known_to_be_well() -> None:
    machine = live()
    assert machine.judged(UNSURE) == (ProofFailed(10.0, Layer.NAME, "unproven", UNSURE),)
    assert machine.state is TunnelState.FAILING


def test_a_proof_on_a_live_tunnel_is_no_news() -> None:
    machine = live()
    assert machine.judged(GOOD) == ()
    assert machine.verdict is GOOD


def test_a_fault_is_told_once_and_again_when_another_layer_is_to_blame() -> None:
    machine = live()
    relay, origin = bad(Layer.RELAY), bad(Layer.ORIGIN, "origin-refused")
    assert machine.judged(relay) == (ProofFailed(10.0, Layer.RELAY, "some-code", relay),)
    assert machine.judged(relay) == ()
    assert machine.judged(origin) == (ProofFailed(10.0, Layer.ORIGIN, "origin-refused", origin),)
    assert machine.judged(GOOD) == (ProofPassed(10.0, GOOD),)
    assert machine.state is TunnelState.LIVE


def test_a_lost_link_is_told_with_its_reason_and_for_how_long_it_was_away() -> None:
    machine = live()
    assert machine.link_changed(LOST, 20.0) == (LinkLost(20.0, "relay-unreachable"),)
    assert machine.state is TunnelState.FAILING
    assert machine.link_changed(LOST, 21.0) == ()
    assert machine.link_changed(ATTACHED, 22.5) == (LinkRestored(22.5, 2.5),)
    assert machine.state is TunnelState.FAILING
    assert machine.judged(GOOD) == (ProofPassed(10.0, GOOD),)


def test_the_first_attached_link_is_not_a_restored_one() -> None:
    assert Machine().link_changed(ATTACHED, 1.0) == ()


def test_a_superseded_instance_stands_down() -> None:
    machine = live()
    view = LinkView(LinkPhase.ENDED, "superseded")
    assert machine.link_changed(view, 20.0) == (InstanceSuperseded(20.0),)
    assert machine.state is TunnelState.CLOSING
    assert machine.released(21.0) == (TunnelClosed(21.0, "superseded"),)
    assert machine.state is TunnelState.CLOSED


def test_a_lease_that_the_relay_ended_is_told_as_one() -> None:
    machine = live()
    view = LinkView(LinkPhase.ENDED, "lease-expired")
    assert machine.link_changed(view, 20.0) == (LeaseEnded(20.0, idle=False),)
    assert machine.is_ending


def test_a_revoked_key_closes_with_its_code() -> None:
    machine = live()
    assert machine.link_changed(LinkView(LinkPhase.ENDED, "key-revoked"), 20.0) == ()
    assert machine.reason == "key-revoked"
    assert machine.state is TunnelState.CLOSING


@pytest.mark.parametrize(("why", "idle"), [(LeaseEnd.EXPIRED, False), (LeaseEnd.IDLE, True)])
def test_the_end_of_a_lease_is_told_once(why: LeaseEnd, idle: bool) -> None:
    machine = live()
    assert machine.lease_ended(why, 20.0) == (LeaseEnded(20.0, idle),)
    assert machine.lease_ended(why, 20.0) == ()
    assert machine.released(21.0) == (TunnelClosed(21.0, str(why)),)


def test_a_renewed_lease_is_told() -> None:
    assert live().renewed(5_000.0, 20.0) == (LeaseRenewed(20.0, 5_000.0),)


def test_closing_is_asked_once_and_the_first_reason_stays() -> None:
    machine = live()
    assert machine.close("interrupted") == ()
    machine.close("something else")
    assert machine.judged(bad(Layer.LINK)) == ()
    assert machine.link_changed(LOST, 20.0) == ()
    assert machine.released(21.0) == (TunnelClosed(21.0, "interrupted"),)
    assert machine.released(22.0) == ()


def test_a_tunnel_that_never_opened_can_be_closed() -> None:
    machine = Machine()
    machine.close("interrupted")
    assert machine.released(1.0) == (TunnelClosed(1.0, "interrupted"),)


_happenings = st.sampled_from(
    ["carried", "good", "bad", "unsure", "lost", "back", "ended", "lease", "close"]
)


@given(st.lists(_happenings, max_size=40))
def test_whatever_happens_a_tunnel_is_live_only_after_a_good_verdict(happenings: list[str]) -> None:
    machine = Machine()
    machine.carried(0.0)
    for happening in happenings:
        match happening:
            case "carried":
                machine.carried(1.0)
            case "good":
                machine.judged(GOOD)
            case "bad":
                machine.judged(bad(Layer.TLS))
            case "unsure":
                machine.judged(UNSURE)
            case "lost":
                machine.link_changed(LOST, 1.0)
            case "back":
                machine.link_changed(ATTACHED, 2.0)
            case "ended":
                machine.link_changed(LinkView(LinkPhase.ENDED), 1.0)
            case "lease":
                machine.lease_ended(LeaseEnd.EXPIRED, 1.0)
            case "close":
                machine.close("asked")
        if machine.state is TunnelState.LIVE:
            assert machine.verdict is GOOD
            assert happening != "lost"
    machine.close("asked")
    assert isinstance(machine.released(3.0)[-1], TunnelClosed)
