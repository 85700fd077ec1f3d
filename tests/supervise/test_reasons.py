"""Which error tells most about a tunnel that could not be opened."""

from __future__ import annotations

import pytest

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import RelayUnreachable
from underpass.model.spec import parse_spec
from underpass.model.verdict import Layer, LayerResult, LayerStatus, Verdict, judge
from underpass.supervise.reasons import is_hopeless, why_ended, why_not_opened, why_not_proved

pytestmark = pytest.mark.pure

SPEC = parse_spec("http://127.0.0.1:3001 --name tools")


def at_fault(layer: Layer, code: str, detail: str = "") -> Verdict:
    return judge({layer: LayerResult(LayerStatus.FAILED, code, detail)}, at=1.0)


def shown(error: UnderpassError) -> tuple[str, str]:
    return error.code, error.message


def test_the_last_refusal_says_why_nothing_carried_it() -> None:
    refusal = RelayUnreachable("relay.example.com", "no answer in time")
    assert why_not_opened(refusal, 30.0) is refusal
    assert shown(why_not_opened(None, 30.0)) == (
        "timed-out",
        "cannot finish opening the tunnel within 30 s",
    )


@pytest.mark.parametrize(
    ("verdict", "layer"),
    [
        (None, "link"),
        (judge({}, at=1.0), "link"),
        (judge({Layer.RELAY: LayerResult(LayerStatus.PASSED)}, at=1.0), "link"),
        (judge({Layer.GATE: LayerResult(LayerStatus.PASSED)}, at=1.0), "origin"),
        (judge({Layer.ORIGIN: LayerResult(LayerStatus.PASSED)}, at=1.0), "origin"),
    ],
)
def test_a_proof_that_never_ended_was_waiting_for_a_layer(
    verdict: Verdict | None, layer: str
) -> None:
    error = why_not_proved(SPEC, "tools", verdict, 30.0)
    assert (*shown(error), error.exit_code) == (
        "proof-failed",
        f"cannot prove 'tools': the layer {layer} is at fault (no answer within 30 s)",
        5,
    )


@pytest.mark.parametrize(
    ("verdict", "code", "message"),
    [
        (
            at_fault(Layer.ORIGIN, "origin-away"),
            "origin-refused",
            "cannot reach the origin http://127.0.0.1:3001: it does not answer",
        ),
        (
            at_fault(Layer.ORIGIN, "origin-speaks-tls"),
            "origin-speaks-tls",
            "cannot speak HTTP with 127.0.0.1:3001: it answers with TLS",
        ),
        (
            at_fault(Layer.TLS, "certificate-expired", "the public certificate has expired"),
            "proof-failed",
            "cannot prove 'tools': the layer tls is at fault (the public certificate has expired)",
        ),
        (
            at_fault(Layer.RELAY, "no-such-tunnel"),
            "proof-failed",
            "cannot prove 'tools': the layer relay is at fault (no-such-tunnel)",
        ),
    ],
)
def test_the_layer_at_fault_says_why_no_proof_passed(
    verdict: Verdict, code: str, message: str
) -> None:
    error = why_not_proved(SPEC, "tools", verdict, 30.0)
    assert shown(error) == (code, message)
    assert error.exit_code == 5


def test_the_process_of_the_origin_is_the_first_to_blame_for_an_end() -> None:
    error = why_ended("tools", "asked", view=None, relay="relay", child=("python", 7))
    assert shown(error) == (
        "origin-ended",
        "cannot keep the tunnel open: 'python' ended with exit code 7",
    )


def test_an_engine_that_ended_says_why() -> None:
    view = LinkView(LinkPhase.ENDED, "superseded")
    error = why_ended("tools", "superseded", view=view, relay="relay", child=None)
    assert error.code == "superseded"


def test_whoever_closed_it_is_told_of() -> None:
    view = LinkView(LinkPhase.LOST, "link-lost")
    error = why_ended("tools", "interrupted", view=view, relay="relay", child=None)
    assert shown(error) == (
        "closed-while-opening",
        "cannot open 'tools': it was closed meanwhile (interrupted)",
    )


def test_only_what_waiting_cannot_change_is_hopeless() -> None:
    assert is_hopeless(at_fault(Layer.ORIGIN, "origin-speaks-tls"))
    assert not is_hopeless(at_fault(Layer.ORIGIN, "origin-away"))
    assert not is_hopeless(at_fault(Layer.RELAY, "connection-refused"))
    assert not is_hopeless(judge({}, at=1.0))
