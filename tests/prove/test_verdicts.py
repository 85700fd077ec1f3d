"""How what was seen becomes a verdict, by stepped time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.verdict import Layer, LayerResult, LayerStatus, Verdict
from underpass.prove import findings
from underpass.prove.verdicts import GRACE, Evidence, Outcome

pytestmark = pytest.mark.pure

PASSED = LayerResult(LayerStatus.PASSED)
LOST = LinkView(LinkPhase.LOST, "link-lost", "the link broke")
ATTACHED = LinkView(LinkPhase.ATTACHED)
THROUGH = [Layer.NAME, Layer.TLS, Layer.RELAY, Layer.LINK, Layer.GATEHOUSE, Layer.ORIGIN]


def failed(code: str) -> LayerResult:
    return LayerResult(LayerStatus.FAILED, code)


def through(began: float, ended: float | None = None) -> Outcome:
    """A live probe that passed."""
    ended = began + 0.1 if ended is None else ended
    return Outcome(began, ended, dict.fromkeys(THROUGH, PASSED))


def refused(began: float) -> Outcome:
    """A closed check that found the door closed to strangers."""
    layers = dict.fromkeys([Layer.NAME, Layer.TLS, Layer.RELAY, Layer.GATE], PASSED)
    return Outcome(began, began + 0.1, layers)


def broken(layer: Layer, code: str, began: float, ended: float | None = None) -> Outcome:
    """A live probe that got as far as ``layer``."""
    outer = THROUGH[: THROUGH.index(layer)]
    layers = {**dict.fromkeys(outer, PASSED), layer: failed(code)}
    return Outcome(began, began + 0.1 if ended is None else ended, layers)


def evidence(*, public: bool = False, origin_expires: bool = True) -> Evidence:
    return Evidence(
        public=public, live_interval=15.0, closed_interval=60.0, origin_expires=origin_expires
    )


def proved(**options: bool) -> Evidence:
    """A tunnel that was proved live and closed at 0."""
    known = evidence(**options)
    known.probed(through(0.0))
    known.probed(refused(0.0))
    return known


def at(known: Evidence, now: float) -> Verdict:
    return known.verdict(now, 1_000_000 + now)


def test_nothing_is_known_and_nobody_blamed_before_the_first_probe() -> None:
    verdict = at(evidence(), 0.0)
    assert not verdict.ok
    assert verdict.layer is None
    assert {result.status for result in verdict.layers.values()} == {LayerStatus.UNKNOWN}


def test_a_probe_through_and_a_stranger_refused_make_a_tunnel_live() -> None:
    known = evidence()
    known.probed(through(0.0))
    assert not at(known, 0.2).ok
    known.probed(refused(0.0))
    verdict = at(known, 0.2)
    assert verdict.ok
    assert verdict.at == 1_000_000.2
    assert verdict.layers[Layer.GATE] is PASSED


def test_the_gate_of_a_public_tunnel_reads_open_and_never_passed() -> None:
    known = evidence(public=True)
    known.probed(through(0.0))
    verdict = at(known, 0.2)
    assert verdict.ok
    assert verdict.layers[Layer.GATE].status is LayerStatus.OPEN


@pytest.mark.parametrize("layer", THROUGH)
def test_a_broken_layer_is_named_and_what_lies_behind_it_is_unknown(layer: Layer) -> None:
    known = proved()
    known.probed(broken(layer, "some-code", 15.0))
    verdict = at(known, 15.2)
    assert verdict.layer is layer
    assert verdict.fault == failed("some-code")
    inner = [Layer.LINK, Layer.GATEHOUSE, Layer.ORIGIN]
    for behind in inner:
        if THROUGH.index(behind) > THROUGH.index(layer):
            assert verdict.layers[behind].status is LayerStatus.UNKNOWN


def test_a_passing_probe_heals_what_a_probe_found_broken() -> None:
    known = proved()
    known.probed(broken(Layer.NAME, findings.NAME_NOT_FOUND, 15.0))
    known.probed(through(17.0))
    assert at(known, 17.2).ok


def test_a_gate_found_open_is_the_fault_though_everything_goes_through() -> None:
    known = proved()
    layers = {Layer.NAME: PASSED, Layer.GATE: failed(findings.GATE_OPEN)}
    known.probed(Outcome(60.0, 60.1, layers))
    known.probed(through(61.0))
    verdict = at(known, 61.2)
    assert verdict.layer is Layer.GATE
    assert verdict.layers[Layer.ORIGIN] is PASSED


def test_a_lost_link_shows_at_once_and_no_probe_speaks_against_it() -> None:
    known = proved()
    known.link_changed(LOST, 5.0)
    assert at(known, 5.0).fault == LayerResult(LayerStatus.FAILED, "link-lost", "the link broke")
    known.probed(through(5.1))
    assert at(known, 5.3).layer is Layer.LINK


def test_a_regained_link_is_believed_only_when_something_went_through_it() -> None:
    known = proved()
    known.link_changed(LOST, 5.0)
    known.link_changed(ATTACHED, 6.0)
    fault = at(known, 6.0).fault
    assert fault is not None
    assert fault.code == findings.LINK_UNPROVEN
    known.probed(through(6.1))
    assert at(known, 6.3).ok


def test_a_probe_that_began_before_the_link_was_lost_proves_nothing() -> None:
    known = proved()
    known.link_changed(LOST, 5.0)
    known.link_changed(ATTACHED, 6.0)
    known.probed(through(4.9, 6.5))
    assert at(known, 6.5).layer is Layer.LINK


def test_a_visitor_who_came_through_the_regained_link_proves_it() -> None:
    known = proved()
    known.link_changed(LOST, 5.0)
    known.link_changed(ATTACHED, 6.0)
    known.exchange_completed(6.2)
    assert at(known, 6.2).ok


def test_an_unreachable_relay_is_named_before_the_link_that_died_with_it() -> None:
    known = proved()
    known.link_changed(LOST, 5.0)
    known.probed(broken(Layer.RELAY, findings.CONNECTION_REFUSED, 5.0))
    assert at(known, 5.2).layer is Layer.RELAY


def test_an_engine_that_ended_says_why() -> None:
    known = proved()
    known.link_changed(LinkView(LinkPhase.ENDED, "superseded"), 5.0)
    fault = at(known, 5.0).fault
    assert fault is not None
    assert fault.code == "superseded"
    assert fault.detail == "the connector's link has ended for good"


def test_a_link_that_was_never_there_is_named() -> None:
    known = evidence()
    known.link_changed(LinkView(LinkPhase.DIALLING), 0.0)
    fault = at(known, 0.0).fault
    assert fault is not None
    assert fault.code == findings.LINK_DIALLING


def test_a_refusing_origin_flips_the_verdict_when_seen_and_a_met_one_flips_it_back() -> None:
    known = proved()
    known.origin_missed("origin-refused", "connection refused", 3.0)
    assert at(known, 3.0).layer is Layer.ORIGIN
    known.origin_met(4.0)
    assert at(known, 4.0).ok


def test_a_probe_sent_before_the_origin_refused_does_not_excuse_it() -> None:
    known = proved()
    known.origin_missed("origin-refused", "connection refused", 15.05)
    known.probed(through(15.0, 15.2))
    assert at(known, 15.2).layer is Layer.ORIGIN


def test_visitors_keep_a_proof_fresh_without_any_probe() -> None:
    known = proved()
    for second in range(1, 100):
        known.exchange_completed(float(second))
    assert at(known, 99.0).ok


def test_visitors_do_not_excuse_an_outer_door_that_we_cannot_pass() -> None:
    known = proved()
    known.probed(broken(Layer.NAME, findings.NAME_NOT_FOUND, 15.0))
    known.exchange_completed(16.0)
    assert at(known, 16.0).layer is Layer.NAME


def test_visitors_say_nothing_about_strangers() -> None:
    known = proved()
    for second in range(1, 200):
        known.exchange_completed(float(second))
    verdict = at(known, 199.0)
    assert verdict.layer is Layer.GATE
    assert verdict.layers[Layer.GATE].code == findings.PROOF_STALE


def test_a_proof_goes_stale_when_the_probe_due_after_it_has_had_its_time() -> None:
    known = proved()
    fresh = 2 * 15.0 + GRACE
    assert at(known, fresh).ok
    assert known.next_deadline(0.0) == fresh
    verdict = at(known, fresh + 0.01)
    assert not verdict.ok
    assert verdict.fault is not None
    assert verdict.fault.code == findings.PROOF_STALE


def test_the_origin_of_a_quiet_tcp_tunnel_does_not_go_stale() -> None:
    known = proved(origin_expires=False)
    probe = {layer: PASSED for layer in THROUGH if layer is not Layer.ORIGIN}
    for now in range(15, 300, 15):
        known.probed(Outcome(float(now), now + 0.1, probe))
        known.probed(refused(float(now)))
    assert at(known, 300.0).ok


def test_the_origin_of_a_tcp_tunnel_is_remembered_while_the_relay_is_away() -> None:
    known = proved(origin_expires=False)
    known.probed(broken(Layer.RELAY, findings.CONNECTION_REFUSED, 15.0))
    probe = {layer: PASSED for layer in THROUGH if layer is not Layer.ORIGIN}
    known.probed(Outcome(16.0, 16.1, probe))
    assert at(known, 16.2).ok


_steps = st.sampled_from(["through", "broken", "refused", "lost", "back", "missed", "met", "visit"])


@given(st.lists(st.tuples(st.floats(0.01, 30), _steps, st.sampled_from(THROUGH)), max_size=60))
def test_a_tunnel_is_never_well_while_its_link_is_lost_or_its_proof_old(
    steps: list[tuple[float, str, Layer]],
) -> None:
    known = proved()
    now, proof, is_lost = 0.2, 0.2, False
    for pause, step, layer in steps:
        now += pause
        if step == "through":
            known.probed(through(now, now))
            proof = now
        elif step == "broken":
            known.probed(broken(layer, "x", now, now))
            proof = now if layer is Layer.ORIGIN else proof  # it went all the way to there
        elif step == "refused":
            known.probed(Outcome(now, now, refused(now).layers))
        elif step == "lost":
            known.link_changed(LOST, now)
            is_lost = True
        elif step == "back":
            known.link_changed(ATTACHED, now)
            is_lost = False
        elif step == "missed":
            known.origin_missed("origin-refused", "", now)
        elif step == "met":
            known.origin_met(now)
        else:
            known.exchange_completed(now)
            proof = now
        verdict = at(known, now)
        if verdict.ok:
            assert not is_lost
            assert step not in {"broken", "lost", "missed"}
            assert now - proof <= 2 * 15.0 + GRACE
        if step in {"broken", "lost", "missed"}:
            assert verdict.layer is not None


def test_a_relay_that_cannot_be_connected_to_is_at_fault_however_long_it_lasts() -> None:
    known = proved()
    for began in range(20, 200, 20):
        layers = {Layer.NAME: PASSED, Layer.RELAY: failed("connection-refused")}
        known.probed(Outcome(began, began + 0.1, layers))
        verdict = at(known, began + 1.0)
        assert verdict.layer is Layer.RELAY
        assert verdict.layers[Layer.TLS].status is LayerStatus.UNKNOWN


def test_in_public_the_gate_is_open_and_with_rules_once_they_were_proved() -> None:
    assert at(evidence(public=True), 0.0).layers[Layer.GATE].status is LayerStatus.OPEN
    ruled = Evidence(public=True, ruled=True, live_interval=15.0, closed_interval=60.0)
    ruled.probed(through(0.0))
    assert at(ruled, 0.1).layers[Layer.GATE].status is LayerStatus.UNKNOWN
    ruled.probed(refused(0.0))
    assert at(ruled, 0.2).layers[Layer.GATE].status is LayerStatus.OPEN
    ruled.probed(Outcome(1.0, 1.1, {Layer.GATE: failed(findings.GATE_OPEN)}))
    assert at(ruled, 1.2).layers[Layer.GATE].code == findings.GATE_OPEN
