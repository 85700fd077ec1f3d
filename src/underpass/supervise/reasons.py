"""Why a tunnel could not be opened, as the error that says most about who has to act: pure."""

from __future__ import annotations

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import relay_refusal
from underpass.model.errors_run import OriginRefused, OriginSpeaksTls, ProofFailed, TimedOut
from underpass.model.spec import TunnelSpec
from underpass.model.verdict import Layer, LayerStatus, Verdict
from underpass.supervise.errors import ClosedWhileOpening, OriginEnded


def why_not_opened(last: UnderpassError | None, seconds: float) -> UnderpassError:
    """Time ran out before any engine carried it; ``last`` is what it was refused with."""
    return last or TimedOut(what="opening the tunnel", seconds=seconds)


def why_not_proved(
    spec: TunnelSpec, name: str, verdict: Verdict | None, seconds: float
) -> UnderpassError:
    """Time ran out before a proof passed; ``verdict`` is the newest."""
    if verdict is None or verdict.layer is None:
        layer = waited_for(verdict)
        return ProofFailed(name=name, layer=str(layer), detail=f"no answer within {seconds:g} s")
    fault = verdict.layers[verdict.layer]
    if fault.code == "origin-away":
        return OriginRefused(origin=str(spec.origin), why=fault.detail or "it does not answer")
    if fault.code == "origin-speaks-tls":
        return OriginSpeaksTls(origin=spec.origin.address)
    detail = fault.detail or fault.code
    return ProofFailed(name=name, layer=str(verdict.layer), detail=detail)


def waited_for(verdict: Verdict | None) -> Layer:
    """The layer that a proof without an end was waiting for, when nothing has failed.

    What a stranger's refusal has shown to work is not to blame: behind the innermost layer that
    passed comes the one that is waited for. With nothing known it is the link, which answers first.
    """
    order = list(Layer)
    passed = (
        []
        if verdict is None
        else [
            at
            for at, layer in enumerate(order)
            if verdict.layers[layer].status is LayerStatus.PASSED
        ]
    )
    return order[min(max(passed) + 1, len(order) - 1)] if passed else Layer.LINK


def why_ended(
    name: str, reason: str, *, view: LinkView | None, relay: str, child: tuple[str, int] | None
) -> UnderpassError:
    """It was closed before a proof passed. ``child`` is the origin's process that ended, with
    its exit code; ``view`` is the newest of the engine's link."""
    if child is not None:
        return OriginEnded(command=child[0], status=child[1])
    if view is not None and view.phase is LinkPhase.ENDED and view.error is not None:
        return view.error
    if view is not None and view.phase is LinkPhase.ENDED and view.code:
        return relay_refusal(view.code, relay=relay, name=name)
    return ClosedWhileOpening(name=name, reason=reason)


def is_hopeless(verdict: Verdict) -> bool:
    """Whether waiting cannot help: somebody has to change the command, not the weather."""
    return verdict.layer is Layer.ORIGIN and (
        verdict.layers[Layer.ORIGIN].code == "origin-speaks-tls"
    )
