"""Which part of a tunnel is open to everybody, and so what preflight must look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.guard.preflight.asks import MOST_BASES
from underpass.model.gates import GateSpec
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec


@dataclass(frozen=True, slots=True)
class Openness:
    """Where strangers may come without passing a gate."""

    bases: tuple[str, ...] = ()
    """Prefixes below which all is open, unless another rule says otherwise; "" for everything."""
    paths: tuple[str, ...] = ()
    """Single paths."""
    bytes: bool = False
    """Of a tcp tunnel: anybody may connect."""
    any_token: bool = False
    """Some of it stands behind ``oauth:origin`` alone, which lets any token through to the origin:
    closed only if the origin has an OAuth of its own."""

    @property
    def is_any(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.bases or self.paths or self.bytes)


def openness_of(spec: TunnelSpec) -> Openness:
    """What of ``spec`` stands open. A gate of any kind closes, since who passes it was let in; but
    for ``oauth:origin``, by which the origin lets in."""
    if spec.kind is Kind.TCP:
        return Openness(bytes=spec.public)
    leaves_it = [rule for rule in spec.rules if any(map(_leaves_it, rule.choices))]
    looked_at = [rule for rule in spec.rules if rule.is_open or rule in leaves_it]
    patterns = [path for rule in looked_at for path in rule.paths or ("/*",)]
    if spec.public or _leaves_it(spec.gates):
        patterns.insert(0, "/*")
    bases = dict.fromkeys(path[:-2] for path in patterns if path.endswith("/*"))
    paths = dict.fromkeys(path for path in patterns if not path.endswith("/*"))
    any_token = bool(leaves_it) or _leaves_it(spec.gates)
    return Openness(tuple(bases)[:MOST_BASES], tuple(paths)[: 2 * MOST_BASES], any_token=any_token)


def _leaves_it(gates: tuple[GateSpec, ...]) -> bool:
    """Whether nothing but ``oauth:origin`` stands there."""
    return bool(gates) and all(str(gate) == "oauth:origin" for gate in gates)
