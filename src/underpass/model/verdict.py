"""The outcome of a proof, layer by layer, from the outside to the inside.

    name → tls → relay → link → gatehouse → gate → origin

Layers are met in this order; what lies behind a failed layer is unknown unless something else
vouched for it. The first failed layer is the one at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Layer(StrEnum):
    """One thing a visitor's exchange has to pass, in the order in which it is met."""

    NAME = "name"
    """The public name leads to the relay."""
    TLS = "tls"
    """Its certificate is valid for that name."""
    RELAY = "relay"
    """The relay knows the tunnel and answers."""
    LINK = "link"
    """The connector has a link to the relay."""
    GATEHOUSE = "gatehouse"
    """Our own gatehouse answered, and nobody in its place."""
    GATE = "gate"
    """A stranger was refused."""
    ORIGIN = "origin"
    """The origin answers."""


class LayerStatus(StrEnum):
    """What is known of one layer."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"
    """Only of the gate: there is none, by ``--public``."""
    SKIPPED = "skipped"
    """Nothing to judge here: no TLS on a loopback port, no probe of a tcp origin by rule."""
    UNKNOWN = "unknown"
    """Not looked at, or hidden behind a failed layer."""


@dataclass(frozen=True, slots=True)
class LayerResult:
    """What one layer showed."""

    status: LayerStatus
    code: str = ""
    """Stable code of the error, when failed."""
    detail: str = ""
    """One clause for people, without a secret."""
    ms: float | None = None
    """Milliseconds it took, where that was measured."""

    def to_dict(self) -> dict[str, object]:
        """One value under ``"layers"``: ``status`` always, the rest when there is something."""
        shown: dict[str, object] = {"status": str(self.status)}
        if self.code:
            shown["code"] = self.code
        if self.detail:
            shown["detail"] = self.detail
        if self.ms is not None:
            shown["ms"] = round(self.ms, 1)
        return shown


_UNKNOWN = LayerResult(LayerStatus.UNKNOWN)
_GOOD = frozenset({LayerStatus.PASSED, LayerStatus.OPEN, LayerStatus.SKIPPED})
_GOOD_GATE = frozenset({LayerStatus.PASSED, LayerStatus.OPEN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof found. Made by ``judge``, which keeps the fields consistent."""

    ok: bool
    """Every layer is passed, open or skipped, and the gate is not skipped."""
    layer: Layer | None
    """The outermost failed layer."""
    layers: dict[Layer, LayerResult]
    """All seven, in order."""
    at: float
    """Unix seconds."""
    seen_from: str
    """Where the prober stood: ``here``, or the name of another vantage."""

    @property
    def fault(self) -> LayerResult | None:
        """The result of the layer at fault."""
        return None if self.layer is None else self.layers[self.layer]

    def to_dict(self) -> dict[str, object]:
        """The object under ``"verdict"`` in every ``--json`` answer."""
        return {
            "ok": self.ok,
            "layer": None if self.layer is None else str(self.layer),
            "layers": {str(layer): result.to_dict() for layer, result in self.layers.items()},
            "at": self.at,
            "seen_from": self.seen_from,
        }


def judge(results: Mapping[Layer, LayerResult], *, at: float, seen_from: str = "here") -> Verdict:
    """Sum results up. Layers not named are unknown; an unknown layer is never a good one.

    Raises ``ValueError`` for ``open`` anywhere but at the gate: nothing else may be left open.
    """
    layers = {layer: results.get(layer, _UNKNOWN) for layer in Layer}
    at_fault = None
    for layer, result in layers.items():
        if result.status is LayerStatus.OPEN and layer is not Layer.GATE:
            raise ValueError(f"only the gate can be open, not {layer}")
        if result.status is LayerStatus.FAILED and at_fault is None:
            at_fault = layer
    good = all(result.status in _GOOD for result in layers.values())
    return Verdict(
        ok=good and layers[Layer.GATE].status in _GOOD_GATE,
        layer=at_fault,
        layers=layers,
        at=at,
        seen_from=seen_from,
    )
