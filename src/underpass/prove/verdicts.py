"""What is true of one tunnel now: pure, it weighs what was seen and by whom into a verdict.

Four witnesses speak. *Probes* go through the public door. *Visitors'* completed exchanges do too,
but prove nothing about the outer door as we see it: a visitor may have looked the name up an hour
ago, or stand where a firewall of ours does not. The *engine* knows its link, and the *gatehouse*
meets the origin.

Three rules decide between them. A success is as old as its beginning, a failure as new as its end:
what was sent before something broke proves nothing about it. While the engine says that its link
is lost, nobody's success counts for it; that it is back is only a reason to probe. And what has
not been proved for two intervals is no longer known: a tunnel is live while its proof is fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.verdict import Layer, LayerResult, LayerStatus, Verdict, judge
from underpass.prove import findings
from underpass.prove.schedule import PROBE_SECONDS

OUTER_DOOR: Final = (Layer.NAME, Layer.TLS, Layer.RELAY)
"""Layers on which visitors may see something else than we do."""

GRACE: Final = PROBE_SECONDS
"""Evidence expires only when the probe due after it has had its time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one probe or closed check saw."""

    began: float
    ended: float
    layers: Mapping[Layer, LayerResult]
    """From the outside to the first failure, or all that was looked at."""

    @property
    def failed(self) -> Layer | None:
        """The outermost layer that failed."""
        for layer in Layer:
            if layer in self.layers and self.layers[layer].status is LayerStatus.FAILED:
                return layer
        return None


@dataclass(frozen=True, slots=True)
class _Evidence:
    result: LayerResult
    at: float


class Evidence:
    """Everything known about one tunnel. Times are seconds of ``Clock.now``."""

    def __init__(
        self,
        *,
        public: bool,
        ruled: bool = False,
        live_interval: float,
        closed_interval: float,
        origin_expires: bool = True,
        seen_from: str = "here",
    ) -> None:
        """``public``: no gate by intent, but for the paths of rules when it is ``ruled``: then the
        layer reads ``open`` once strangers were refused on those. ``origin_expires`` is false for
        a tcp origin that is not probed periodically: it is judged by the first proof and by real
        streams."""
        self._public = public
        self._ruled = ruled
        self._seen_from = seen_from
        fresh = 2 * live_interval + GRACE
        self._fresh = dict.fromkeys(Layer, fresh)
        self._fresh[Layer.GATE] = 2 * closed_interval + GRACE
        if not origin_expires:
            del self._fresh[Layer.ORIGIN]
        self._known: dict[Layer, _Evidence] = {}
        self._link = LinkView(LinkPhase.ATTACHED)
        self._link_broke = float("-inf")
        self._exchange = float("-inf")

    def probed(self, outcome: Outcome) -> None:
        """A probe or a closed check ended."""
        self._weigh_exchanges()
        failed = outcome.failed
        for layer, result in outcome.layers.items():
            is_failure = result.status is LayerStatus.FAILED
            self._learn(layer, result, outcome.ended if is_failure else outcome.began)
        if failed is None or failed is Layer.GATE:
            return
        # Nothing went further than the failure: what was known of the inner layers before the
        # probe began is not known any more. What the gatehouse saw meanwhile stands.
        # TLS comes after the connection to the relay, although it is judged before it.
        for layer in (Layer.TLS, Layer.LINK, Layer.GATEHOUSE, Layer.ORIGIN):
            known = self._known.get(layer)
            if known and layer not in outcome.layers and known.at <= outcome.began:
                if layer is Layer.ORIGIN and layer not in self._fresh:
                    continue
                del self._known[layer]

    def exchange_completed(self, now: float) -> None:
        """A visitor's exchange went through the public door to the origin and back."""
        self._exchange = now

    def link_changed(self, view: LinkView, now: float) -> None:
        """The engine says how its link is."""
        self._weigh_exchanges()
        if view.phase is not LinkPhase.ATTACHED:
            self._link_broke = now
        self._link = view

    def origin_met(self, now: float) -> None:
        """The gatehouse reached the origin."""
        self._learn(Layer.ORIGIN, LayerResult(LayerStatus.PASSED), now)

    def origin_missed(self, code: str, detail: str, now: float) -> None:
        """The origin refused the gatehouse, or broke off before it answered."""
        self._learn(Layer.ORIGIN, LayerResult(LayerStatus.FAILED, code, detail), now)

    def verdict(self, now: float, unix: float) -> Verdict:
        """What is true at ``now``; ``unix`` is the same moment for people."""
        self._weigh_exchanges()
        layers = {layer: self._judge(layer, now) for layer in Layer}
        return judge(layers, at=unix, seen_from=self._seen_from)

    def next_deadline(self, now: float) -> float | None:
        """When a layer that is known at ``now`` will have gone stale; None: not by time alone."""
        self._weigh_exchanges()
        times = [
            self._known[layer].at + fresh
            for layer, fresh in self._fresh.items()
            if layer in self._known and self._known[layer].result.status is not LayerStatus.FAILED
        ]
        return min((at for at in times if at > now), default=None)

    def _learn(self, layer: Layer, result: LayerResult, at: float) -> None:
        self._weigh_exchanges()
        known = self._known.get(layer)
        if known is None or at >= known.at:
            self._known[layer] = _Evidence(result, at)

    def _weigh_exchanges(self) -> None:
        """Take the exchanges since the last time into account: only now, since they are many."""
        at, self._exchange = self._exchange, float("-inf")
        for layer in OUTER_DOOR:
            known = self._known.get(layer)
            if known and known.at <= at and known.result.status is not LayerStatus.FAILED:
                self._known[layer] = _Evidence(known.result, at)
        for layer in (Layer.LINK, Layer.GATEHOUSE, Layer.ORIGIN):
            known = self._known.get(layer)
            if known and known.at <= at:
                is_failure = known.result.status is LayerStatus.FAILED
                result = LayerResult(LayerStatus.PASSED) if is_failure else known.result
                self._known[layer] = _Evidence(result, at)

    def _judge(self, layer: Layer, now: float) -> LayerResult:
        is_open = layer is Layer.GATE and self._public
        if is_open and not self._ruled:
            return LayerResult(LayerStatus.OPEN)
        if layer is Layer.LINK and self._link.phase is not LinkPhase.ATTACHED:
            return _describe(self._link)
        known = self._known.get(layer)
        if known is None:
            return LayerResult(LayerStatus.UNKNOWN)
        if known.result.status is LayerStatus.FAILED:
            # A failure does not go stale: it stands until something succeeds.
            return known.result
        if layer is Layer.LINK and known.at <= self._link_broke:
            return _failure(findings.LINK_UNPROVEN)
        if now - known.at > self._fresh.get(layer, float("inf")):
            return _failure(findings.PROOF_STALE)
        return LayerResult(LayerStatus.OPEN) if is_open else known.result


_PHASES: Final = {
    LinkPhase.DIALLING: findings.LINK_DIALLING,
    LinkPhase.LOST: findings.LINK_LOST,
    LinkPhase.ENDED: findings.LINK_ENDED,
}


def _describe(view: LinkView) -> LayerResult:
    code = _PHASES[view.phase]
    return LayerResult(LayerStatus.FAILED, view.code or code, view.detail or findings.explain(code))


def _failure(code: str) -> LayerResult:
    return LayerResult(LayerStatus.FAILED, code, findings.explain(code))
