"""The guard of a tunnel: all its gates together, and which of them stand before which path.

A guard without gates exists only in public; everything else is refused when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

import msgspec

from underpass.guard.checks import BearerGate, Gate, IpGate, LinkGate, Recognises
from underpass.guard.compose import Choices, any_of, both, judge_choices, named, then
from underpass.guard.outcomes import PASSED, REFUSED, Deny, Outcome, Pass
from underpass.guard.paths import PathTable
from underpass.guard.peer import Peer
from underpass.http.messages import Headers, RequestHead

_ORDER: Final = ("ip", "mtls", "link", "bearer", "basic", "jwt", "oauth", "signature")
# Cheapest and least telling first: a stranger from elsewhere learns of no other gate.

_SHOWN: Final = frozenset({"bearer", "basic", "jwt", "oauth"})
"""Kinds whose credential is shown on every request, and opens this tunnel again wherever it is
read."""

_CLOSED: Final[Choices] = ()
_OPEN: Final[Choices] = ((),)

AMBIGUOUS: Final = Deny(400, "path-ambiguous")

_SAMPLES: Final = ("", "underpass-proof", "underpass-proof/1", "underpass-proof-2")


@dataclass(frozen=True, slots=True)
class Rule:
    """The gates before some paths, made."""

    paths: tuple[str, ...]
    """Patterns; () for what no other rule names."""
    choices: Choices

    @property
    def text(self) -> str:
        """Its canonical form, without a secret."""
        choices = "|".join("+".join(gate.text for gate in each) or "open" for each in self.choices)
        return f"{','.join(self.paths)}={choices}"


class Guard:
    """All gates of one tunnel. Its own state never changes; that of some gates (replays seen, keys
    fetched) does, so it is asked on one event loop."""

    def __init__(
        self, gates: Iterable[Gate], *, public: bool = False, rules: Iterable[Rule] = ()
    ) -> None:
        """``gates`` must all be passed where no rule says otherwise. Raises ``ValueError`` when
        there is neither a gate nor ``public``, or both."""
        self._gates = tuple(sorted(gates, key=_rank))
        self._rules = tuple(_sorted(rule) for rule in rules)
        if bool(self._gates) and public:
            raise ValueError("a guard has gates, or is public")
        every = list(dict.fromkeys(self._every_gate()))
        if not every and not public:
            raise ValueError("a guard has gates, or is public")
        self.kinds = tuple(dict.fromkeys(gate.kind for gate in sorted(every, key=_rank)))
        """The kinds of its gates, each once, the cheapest first; empty if all is public."""
        self.answer_headers: Headers = []
        """Fields to add to every answer."""
        if "link" in self.kinds:
            self.answer_headers.append((b"Referrer-Policy", b"no-referrer"))
        self._only = self._gates[0] if len(self._gates) == 1 and not self._rules else None
        self._ips = tuple(gate for gate in every if isinstance(gate, IpGate))
        self._link = next((gate for gate in every if isinstance(gate, LinkGate)), None)
        self._shown = tuple(gate for gate in every if gate.kind in _SHOWN) if self._rules else ()
        ruled = every if self._rules else []
        self._recognising = tuple(gate for gate in ruled if isinstance(gate, Recognises))
        self._by_path = any(rule.paths for rule in self._rules)
        self._default = self._find_default(public)
        self._table = PathTable(
            [(path, rule.choices) for rule in self._rules for path in rule.paths], self._default
        )

    @property
    def is_public(self) -> bool:
        """Nobody is refused: the gate layer of a proof reads ``open``."""
        return not self.kinds

    def judge_http(self, head: RequestHead, peer: Peer) -> Outcome:
        """Judge one request."""
        if self._only is not None:
            return named(self._only.judge(head, peer), self._only)
        linked: Pass | Deny = REFUSED
        if self._link is not None:
            # Paths are judged as the origin will see them: without the segment that passed.
            linked = self._link.judge(head, peer)
            if isinstance(linked, Pass) and linked.target is not None:
                head = _with_target(head, linked.target)
        choices = self._table.find(head.target) if self._by_path else self._default
        if choices is None:
            return AMBIGUOUS
        asked: set[Gate] = set()
        outcome = any_of(choices, partial(self._ask, head, peer, linked, asked))
        if self._link is None and not self._shown and not self._recognising:
            return outcome
        return then(outcome, lambda said: self._keep_here(said, head, peer, linked, asked))

    def judge_address(self, address: str) -> Pass | Deny:
        """Judge a plain byte stream, which can show nothing but where it comes from."""
        if self.is_public:
            return PASSED
        if isinstance(self._only, IpGate):
            return self._only.judge_address(address)
        return REFUSED

    def admits_address(self, address: str) -> bool:
        """What the ``ip`` gates alone say of ``address``: whether any admits it; True without
        one. For proofs."""
        return not self._ips or any(gate.admits(address) for gate in self._ips)

    def judge_token(self, token: str) -> bool:
        """Judge the token of a visitor who comes by reach: in public any will do."""
        if isinstance(self._only, BearerGate):
            return self._only.accepts(token.encode("utf-8", "surrogateescape"))
        return self.is_public

    def keeps_out(self, address: str) -> bool:
        """Whether a visitor from ``address`` who shows nothing is refused wherever a gate stands:
        what a proof asks, with an address that no ``ip`` gate admits."""
        stranger, nothing = Peer(address), RequestHead(b"GET", b"/", b"nobody", [])
        closed = {each for each in self._every_choices() if () not in each}
        return all(isinstance(judge_choices(each, nothing, stranger), Deny) for each in closed)

    def closed_paths(self) -> tuple[str, ...]:
        """A path of each rule (and of what no rule names) that refuses whoever shows nothing,
        wherever they come from: where a proof comes as a stranger."""
        found = [self._sample(rule.paths, rule.choices) for rule in self._rules if rule.paths]
        found.append(self._sample(("/*",), self._default))
        return tuple(path for path in found if path)

    def commitment(self) -> bytes:
        """SHA-256 over the canonical gates. It covers no secret: it tells nobody anything new."""
        texts = [gate.text for gate in self._gates] + [rule.text for rule in self._rules]
        if self._default == _OPEN:
            texts.append("public")
        return sha256(b"underpass-gates-v1\0" + "\n".join(texts).encode()).digest()

    def cidrs(self) -> tuple[str, ...]:
        """Networks without which nothing can be had, for the relay's coarse rule; empty: anybody
        may have to be let through."""
        return () if self._rules or not self._ips else self._ips[0].cidrs

    def __repr__(self) -> str:
        texts = [gate.text for gate in self._gates] + [rule.text for rule in self._rules]
        return f"Guard({', '.join(texts) or 'public'})"

    # Inside

    def _ask(
        self, head: RequestHead, peer: Peer, linked: Pass | Deny, asked: set[Gate], gate: Gate
    ) -> Outcome:
        asked.add(gate)
        return linked if gate is self._link else gate.judge(head, peer)

    def _keep_here(
        self,
        said: Pass | Deny,
        head: RequestHead,
        peer: Peer,
        linked: Pass | Deny,
        asked: set[Gate],
    ) -> Pass | Deny:
        """``said``, with whatever would open another path of this tunnel taken off as well: a
        client shows its credential on open paths too, and pages name the link they came from."""
        if isinstance(said, Deny):
            return said
        if isinstance(linked, Pass):
            said = both(linked, said)  # its segment stays here whichever gate let the visitor in
        elif self._link is not None:
            said = both(said, Pass(LinkGate.STRIP))
        for gate in self._shown:
            shown = PASSED if gate in asked else gate.judge(head, peer)
            if isinstance(shown, Pass) and shown.strip:
                said = both(said, Pass(shown.strip))
        for each in self._recognising:  # which may not be able to judge at this moment
            recognised = each.recognise(head)
            if recognised:
                said = both(said, Pass(recognised))
        return said

    def _find_default(self, public: bool) -> Choices:
        if public:
            return _OPEN
        if self._gates:
            return (self._gates,)
        return next((rule.choices for rule in self._rules if not rule.paths), _CLOSED)

    def _every_gate(self) -> Iterator[Gate]:
        yield from self._gates
        for rule in self._rules:
            for choice in rule.choices:
                yield from choice

    def _every_choices(self) -> Iterator[Choices]:
        yield self._default
        for rule in self._rules:
            yield rule.choices

    def _sample(self, paths: Iterable[str], choices: Choices) -> str:
        if any(all(isinstance(gate, IpGate) for gate in choice) for choice in choices):
            return ""
        for pattern in paths:
            base = pattern.removesuffix("*")
            for name in _SAMPLES if pattern.endswith("*") else _SAMPLES[:1]:
                if self._leads_to(base + name, choices):
                    return base + name
        return ""

    def _leads_to(self, path: str, choices: Choices) -> bool:
        return not self._by_path or self._table.find(path.encode()) is choices


def _rank(gate: Gate) -> int:
    return _ORDER.index(gate.kind) if gate.kind in _ORDER else len(_ORDER)


def _sorted(rule: Rule) -> Rule:
    choices = tuple(tuple(sorted(choice, key=_rank)) for choice in rule.choices)
    return Rule(rule.paths, choices)


def _with_target(head: RequestHead, target: bytes) -> RequestHead:
    return msgspec.structs.replace(head, target=target)
