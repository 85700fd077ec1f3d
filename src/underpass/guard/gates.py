"""The guard of a tunnel: all its gates together, and how they are made from their texts.

A guard without gates exists only in public; everything else is refused when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from underpass.guard.checks import (
    PASSED,
    BasicGate,
    BearerGate,
    Deny,
    Gate,
    IpGate,
    LinkGate,
    Pass,
    basic_digest,
)
from underpass.guard.secrets import Secret, hash_token, new_token
from underpass.http.messages import Headers, RequestHead
from underpass.model.gates import GateSpec

__all__ = [
    "PASSED",
    "BasicGate",
    "BearerGate",
    "Deny",
    "Forged",
    "Gate",
    "Guard",
    "IpGate",
    "LinkGate",
    "Pass",
    "forge",
]


class Guard:
    """All gates of one tunnel. A visitor must pass every one; immutable, safe from any thread."""

    _NOT_BY_ADDRESS = Deny(403, "gate-refused")

    def __init__(self, gates: Iterable[Gate], *, public: bool = False) -> None:
        """Raises ``ValueError`` when there is neither a gate nor ``public``, or both."""
        self._gates = tuple(sorted(gates, key=lambda gate: _ORDER.index(gate.kind)))
        if bool(self._gates) == public:
            raise ValueError("a guard has gates, or is public")
        self.kinds = tuple(gate.kind for gate in self._gates)
        """The kinds of its gates in the order in which they are asked; empty in public."""
        self.answer_headers: Headers = []
        """Fields to add to every answer."""
        if "link" in self.kinds:
            self.answer_headers.append((b"Referrer-Policy", b"no-referrer"))
        self._only = self._gates[0] if len(self._gates) == 1 else None
        self._ip = next((gate for gate in self._gates if isinstance(gate, IpGate)), None)
        self._bearer = next((gate for gate in self._gates if isinstance(gate, BearerGate)), None)

    @property
    def is_public(self) -> bool:
        """Nobody is refused: the gate layer of a proof reads ``open``."""
        return not self._gates

    def judge_http(self, head: RequestHead, address: str) -> Pass | Deny:
        """Judge one request. ``address`` is what our own edge saw, "" if none vouches for it."""
        if self._only is not None:
            return self._only.judge(head, address)
        strip: tuple[bytes, ...] = ()
        target = None
        for gate in self._gates:
            outcome = gate.judge(head, address)
            if isinstance(outcome, Deny):
                return outcome
            strip += outcome.strip
            target = outcome.target or target
        return Pass(strip, target)

    def judge_address(self, address: str) -> Pass | Deny:
        """Judge a plain byte stream, which can show nothing but where it comes from."""
        if self.is_public:
            return PASSED
        if self._ip is None or self._only is None:
            return self._NOT_BY_ADDRESS
        return self._ip.judge_address(address)

    def admits_address(self, address: str) -> bool:
        """What the ``ip`` gate alone says of ``address``; True without one. For proofs."""
        return self._ip is None or self._ip.admits(address)

    def judge_token(self, token: str) -> bool:
        """Judge the token of a visitor who comes by reach: in public any will do."""
        if self._bearer is None:
            return self.is_public
        return self._bearer.accepts(token.encode("utf-8", "surrogateescape"))

    def commitment(self) -> bytes:
        """SHA-256 over the canonical gates. It covers no secret: it tells nobody anything new."""
        texts = [gate.text for gate in self._gates] or ["public"]
        return sha256(b"underpass-gates-v1\0" + "\n".join(texts).encode()).digest()

    def cidrs(self) -> tuple[str, ...]:
        """Networks of the ``ip`` gate, for the relay's coarse rule; empty: anybody."""
        return () if self._ip is None else self._ip.cidrs

    def __repr__(self) -> str:
        return f"Guard({', '.join(gate.text for gate in self._gates) or 'public'})"


_ORDER: Final = ("ip", "link", "bearer", "basic")
# Cheapest and least telling first: a stranger from elsewhere learns of no other gate.


@dataclass(frozen=True, slots=True)
class Forged:
    """A guard and the secrets that open it, by the kind of their gate."""

    guard: Guard
    secrets: Mapping[str, Secret]
    """Token of ``bearer``, password of ``basic``, first path segment of ``link``."""


def forge(
    specs: Iterable[GateSpec], *, public: bool = False, secrets: Mapping[str, Secret] | None = None
) -> Forged:
    """Make the guard for validated ``specs``, with fresh secrets where none are given."""
    gates: list[Gate] = []
    made: dict[str, Secret] = {}
    for spec in specs:
        if spec.kind == "ip":
            gates.append(IpGate(spec.cidrs))
            continue
        secret = made[spec.kind] = (secrets or {}).get(spec.kind) or new_token()
        if spec.kind == "bearer":
            gates.append(BearerGate(hash_token(secret.reveal())))
        elif spec.kind == "basic":
            gates.append(BasicGate(spec.user, basic_digest(spec.user, secret)))
        elif spec.kind == "link":
            gates.append(LinkGate(hash_token(secret.reveal())))
        else:
            raise ValueError(f"no gate {spec.kind}")
    return Forged(Guard(gates, public=public), made)
