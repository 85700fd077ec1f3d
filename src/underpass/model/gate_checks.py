"""Which gates and rules may stand together before one tunnel. The first rule broken is raised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from underpass.model.errors_spec import GateConflict, GateNeeds, GateUnsupported
from underpass.model.gate_arguments import parse_mtls
from underpass.model.gate_rules import MAX_PATTERNS, OPEN, GateRule, folded
from underpass.model.gates import GateSpec, admits_most
from underpass.model.origin import Kind

if TYPE_CHECKING:
    from underpass.model.spec import TunnelSpec

_AUTHORIZATION: Final = ("bearer", "basic", "jwt", "oauth")
_TCP: Final = frozenset({"bearer", "ip"})
_EVERYTHING: Final = "/*"


def check_gates(spec: TunnelSpec) -> None:
    """Raise ``GateConflict``, ``GateNeeds`` or ``GateUnsupported`` for what cannot be."""
    if spec.public and spec.gates:
        why = "--public means that there is no gate but for the paths of rules"
        raise GateConflict(first="--public", second=f"the gate {spec.gates[0].kind}", why=why)
    if spec.kind is Kind.TCP:
        _check_tcp(spec)
    _check_together(spec.gates)
    for rule in spec.rules:
        for choice in rule.choices:
            _check_together(choice)
    _check_once(spec.every_gate)
    _check_rules(spec)
    if spec.tls != "passthrough" and any(gate.kind == "mtls" for gate in spec.every_gate):
        why = "only who ends a visitor's TLS sees its certificate, and a relay's word is not enough"
        raise GateNeeds(gate="mtls", needs="--tls passthrough", why=why)
    if admits_most(cidr for gate in spec.every_gate for cidr in gate.cidrs):
        why = "together they admit more than half of all addresses"
        raise GateConflict(first="ip", second="another ip", why=why)


def _check_tcp(spec: TunnelSpec) -> None:
    if spec.rules:
        raise GateUnsupported(gate=str(spec.rules[0]), kind="tcp")
    kinds = [gate.kind for gate in spec.gates]
    for kind in kinds:
        if kind not in _TCP:
            raise GateUnsupported(gate=kind, kind="tcp")
    if "bearer" in kinds and "ip" in kinds:
        why = "an ip gate opens a port, on which no token can be shown"
        raise GateConflict(first="bearer", second="ip on a tcp tunnel", why=why)


def _check_together(gates: Sequence[GateSpec]) -> None:
    """Gates that must all be passed by one request."""
    kinds = [gate.kind for gate in gates]
    for kind in kinds:
        if kinds.count(kind) > 1:
            why = "each gate stands once; name several networks in one ip gate"
            raise GateConflict(first=kind, second=f"another {kind}", why=why)
    asking = [kind for kind in _AUTHORIZATION if kind in kinds]
    if len(asking) > 1:
        raise GateConflict(first=asking[0], second=asking[1], why="both ask for Authorization")


def _check_once(gates: Sequence[GateSpec]) -> None:
    """What a tunnel has one of, wherever it is named."""
    for kind in ("basic", "oauth"):
        texts = [str(gate) for gate in gates if gate.kind == kind]
        if len(texts) > 1:
            raise GateConflict(first=texts[0], second=texts[1], why=f"a tunnel has one {kind} gate")
    authorities = {parse_mtls(gate.argument).authority for gate in gates if gate.kind == "mtls"}
    if len(authorities) > 1:
        first, second = sorted(map(str, authorities))[:2]
        why = "one authority vouches for all client certificates; put both into one file"
        raise GateConflict(first=f"mtls:{first}", second=f"mtls:{second}", why=why)


def _check_rules(spec: TunnelSpec) -> None:
    patterns: dict[str, str] = {}
    for rule in spec.rules:
        _check_default(spec, rule)
        for path in rule.paths:
            known = patterns.get(folded(path))
            if known is not None:
                why = "both name the same path; upper case and a last / make no difference"
                raise GateConflict(first=known, second=path, why=why)
            patterns[folded(path)] = path
    if len(patterns) > MAX_PATTERNS:
        why = f"at most {MAX_PATTERNS} paths can have rules"
        raise GateConflict(first="a rule", second="so many others", why=why)
    if spec.rules and not spec.public and not spec.every_gate:
        why = "no gate is left anywhere; to open to everybody, say --public"
        raise GateConflict(first=str(spec.rules[0]), second="no gate elsewhere", why=why)


def _check_default(spec: TunnelSpec, rule: GateRule) -> None:
    if rule.paths:
        if rule.is_open and _EVERYTHING in rule.paths:
            why = "that is every path; to open to everybody, say --public"
            raise GateConflict(first=f"{_EVERYTHING}={OPEN}", second="a gate", why=why)
        return
    if spec.gates or spec.public:
        other = str(spec.gates[0]) if spec.gates else "--public"
        why = "a choice stands alone for all paths; write the whole of it in one --gate"
        raise GateConflict(first=str(rule), second=other, why=why)
    if sum(not each.paths for each in spec.rules) > 1:
        why = "a choice stands alone for all paths; write the whole of it in one --gate"
        raise GateConflict(first=str(rule), second="another choice", why=why)
