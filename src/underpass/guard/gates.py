"""Making a guard: every gate of a tunnel from its text, each once, and the secrets that open it.

Kinds that need more than a text (an authorization server of ours) are made by whoever assembles
the tunnel: ``forge`` takes makers, and asks them before the built-in ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from underpass.guard.checks import BasicGate, BearerGate, Gate, IpGate, LinkGate, basic_digest
from underpass.guard.errors import GateNotMade
from underpass.guard.guard import Guard, Rule
from underpass.guard.holds import Hold
from underpass.guard.materials import GateMaker, Materials
from underpass.guard.outcomes import PASSED, Deny, Later, NeedsBody, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.guard.plugged import load_plugged
from underpass.guard.secrets import Secret, hash_token, new_token
from underpass.model.gate_rules import GateRule
from underpass.model.gates import GateSpec

__all__ = [
    "PASSED",
    "BasicGate",
    "BearerGate",
    "Deny",
    "Forged",
    "Gate",
    "GateMaker",
    "Guard",
    "Hold",
    "IpGate",
    "Later",
    "LinkGate",
    "Materials",
    "NeedsBody",
    "Outcome",
    "Pass",
    "Peer",
    "Rule",
    "forge",
]


@dataclass(frozen=True, slots=True)
class Forged:
    """A guard and the secrets that open it, by the kind of their gate."""

    guard: Guard
    secrets: Mapping[str, Secret]
    """Token of ``bearer``, password of ``basic``, first path segment of ``link``."""
    gates: Mapping[str, Gate] = field(default_factory=dict)
    """Every gate by its text: one gate, however many rules name it."""


def forge(
    specs: Iterable[GateSpec],
    *,
    rules: Iterable[GateRule] = (),
    public: bool = False,
    secrets: Mapping[str, Secret] | None = None,
    makers: Mapping[str, GateMaker] | None = None,
    materials: Materials | None = None,
) -> Forged:
    """Make the guard for validated ``specs`` and ``rules``, with fresh secrets where none are
    given.

    ``makers`` are asked, by kind, before the built-in ones. Raises what a maker raises for a secret
    or a file that it cannot read, ``GateNotMade`` for a kind that nobody here makes, and
    ``GateNotLoaded`` for a plug-in that does not come.
    """
    smith = _Smith(secrets or {}, makers or {}, materials or Materials())
    plain = [smith.make(spec) for spec in specs]
    made = [
        Rule(rule.paths, tuple(tuple(map(smith.make, choice)) for choice in rule.choices))
        for rule in rules
    ]
    return Forged(Guard(plain, public=public, rules=made), smith.secrets, smith.gates)


class _Smith:
    """Makes each gate once."""

    def __init__(
        self,
        given: Mapping[str, Secret],
        makers: Mapping[str, GateMaker],
        materials: Materials,
    ) -> None:
        self._given = given
        self._makers = makers
        self._materials = materials
        self.secrets: dict[str, Secret] = {}
        self.gates: dict[str, Gate] = {}

    def make(self, spec: GateSpec) -> Gate:
        """The gate for ``spec``; the same one each time."""
        text = str(spec)
        gate = self.gates.get(text)
        if gate is None:
            gate = self.gates[text] = self._make(spec)
        return gate

    def _make(self, spec: GateSpec) -> Gate:
        if spec.kind == "ip":
            return IpGate(spec.cidrs)
        simple = _WITH_SECRET.get(spec.kind)
        if simple is not None:
            secret = self._given.get(spec.kind) or new_token()
            self.secrets[spec.kind] = secret
            return simple(spec, secret)
        if spec.kind in self._makers:
            return self._makers[spec.kind](spec, self._materials)
        if spec.is_plugged:
            return load_plugged(spec, self._materials)
        if spec.kind not in _MAKERS:
            raise GateNotMade(gate=spec.kind)
        module, _, name = _MAKERS[spec.kind].partition(":")
        maker: GateMaker = getattr(import_module(module), name)
        return maker(spec, self._materials)


_WITH_SECRET: Mapping[str, Callable[[GateSpec, Secret], Gate]] = {
    "bearer": lambda spec, secret: BearerGate(hash_token(secret.reveal())),
    "basic": lambda spec, secret: BasicGate(spec.user, basic_digest(spec.user, secret)),
    "link": lambda spec, secret: LinkGate(hash_token(secret.reveal())),
}
"""Gates that one secret opens, which is made for them."""

_MAKERS: Mapping[str, str] = {
    "mtls": "underpass.guard.mtls:make_mtls",
    "signature": "underpass.guard.signature:make_signature",
    "jwt": "underpass.guard.jwt_gate:make_jwt",
}
"""Makers of the others, each imported when it is used: what verifies tokens is slow to import."""
