"""Verdicts: which layer is at fault, when all is well, and the JSON object."""

from __future__ import annotations

import pytest

from underpass.model.verdict import Layer, LayerResult, LayerStatus, judge

PASSED = LayerResult(LayerStatus.PASSED)
FAILED = LayerResult(LayerStatus.FAILED)
ALL_PASSED = dict.fromkeys(Layer, PASSED)


def test_layers_stand_in_the_order_a_visitor_meets_them() -> None:
    assert [str(layer) for layer in Layer] == [
        "name",
        "tls",
        "relay",
        "link",
        "gatehouse",
        "gate",
        "origin",
    ]


def test_a_verdict_is_good_when_every_layer_passed() -> None:
    verdict = judge(ALL_PASSED, at=1000.0)
    assert (verdict.ok, verdict.layer, verdict.fault) == (True, None, None)


@pytest.mark.parametrize("layer", Layer)
def test_one_failed_layer_is_the_layer_at_fault(layer: Layer) -> None:
    verdict = judge({**ALL_PASSED, layer: FAILED}, at=0)
    assert (verdict.ok, verdict.layer, verdict.fault) == (False, layer, FAILED)


def test_of_several_failed_layers_the_outermost_is_at_fault() -> None:
    results = {Layer.ORIGIN: FAILED, Layer.LINK: FAILED, Layer.GATE: FAILED}
    assert judge(results, at=0).layer is Layer.LINK


@pytest.mark.parametrize("layer", Layer)
def test_an_unknown_layer_is_never_a_good_one(layer: Layer) -> None:
    results = {each: PASSED for each in Layer if each is not layer}
    verdict = judge(results, at=0)
    assert (verdict.ok, verdict.layer) == (False, None)


def test_a_public_gate_is_open_and_the_verdict_good() -> None:
    assert judge({**ALL_PASSED, Layer.GATE: LayerResult(LayerStatus.OPEN)}, at=0).ok


def test_a_gate_that_nobody_tried_is_not_good_but_skipped_tls_is() -> None:
    skipped = LayerResult(LayerStatus.SKIPPED)
    assert not judge({**ALL_PASSED, Layer.GATE: skipped}, at=0).ok
    assert judge({**ALL_PASSED, Layer.TLS: skipped, Layer.ORIGIN: skipped}, at=0).ok


def test_nothing_but_the_gate_can_be_open() -> None:
    with pytest.raises(ValueError, match="only the gate"):
        judge({Layer.ORIGIN: LayerResult(LayerStatus.OPEN)}, at=0)


def test_json_of_a_verdict() -> None:
    verdict = judge(
        {
            **ALL_PASSED,
            Layer.NAME: LayerResult(LayerStatus.PASSED, ms=0.123),
            Layer.TLS: LayerResult(LayerStatus.SKIPPED, detail="plain loopback port"),
            Layer.ORIGIN: LayerResult(LayerStatus.FAILED, "origin-refused", "port 3001", 12.0),
        },
        at=1_800_000_000.5,
        seen_from="here",
    )
    assert verdict.to_dict() == {
        "ok": False,
        "layer": "origin",
        "layers": {
            "name": {"status": "passed", "ms": 0.1},
            "tls": {"status": "skipped", "detail": "plain loopback port"},
            "relay": {"status": "passed"},
            "link": {"status": "passed"},
            "gatehouse": {"status": "passed"},
            "gate": {"status": "passed"},
            "origin": {
                "status": "failed",
                "code": "origin-refused",
                "detail": "port 3001",
                "ms": 12.0,
            },
        },
        "at": 1_800_000_000.5,
        "seen_from": "here",
    }
