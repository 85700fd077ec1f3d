"""Which part of a tunnel is open to everybody, and so what preflight must look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.guard.preflight.asks import MOST_BASES
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

    @property
    def is_any(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.bases or self.paths or self.bytes)


def openness_of(spec: TunnelSpec) -> Openness:
    """What of ``spec`` stands open. A gate of any kind closes: who passes it was let in."""
    if spec.kind is Kind.TCP:
        return Openness(bytes=spec.public)
    patterns = [path for rule in spec.rules if rule.is_open for path in rule.paths or ("/*",)]
    if spec.public:
        patterns.insert(0, "/*")
    bases = dict.fromkeys(path[:-2] for path in patterns if path.endswith("/*"))
    paths = dict.fromkeys(path for path in patterns if not path.endswith("/*"))
    return Openness(tuple(bases)[:MOST_BASES], tuple(paths)[: 2 * MOST_BASES])
