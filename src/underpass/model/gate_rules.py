"""How gates are combined, and for which paths: what ``--gate`` takes.

    bearer                                  for every path that no rule names
    ip:10.0.0.0/8+bearer                    both: the same as --gate ip:10.0.0.0/8 --gate bearer
    bearer|basic:alice                      either
    ip:10.0.0.0/8+bearer|basic:alice        + binds closer
    /mcp=oauth                              for /mcp alone (and /mcp/)
    /hooks/*=signature:github               for /hooks and all below it
    /healthz,/readyz=open                   no gate: everybody may come to these paths
    /*=bearer                               for every path

Of the rules that match a path the longest pattern wins, an exact one before a ``*``. What no rule
matches is judged by the gates without a path; without such gates it is refused, or, with
``--public``, open. Patterns are compared byte by byte, with what the origin will see; a path that
could be read as another, in upper case say, is refused when that would change its rule
(``guard.paths``). ``str`` gives back what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from underpass.model.errors_spec import GateConflict, GateMalformed
from underpass.model.gates import GateSpec, parse_gate

OPEN: Final = "open"
MAX_PATTERNS: Final = 64
MAX_CHOICES: Final = 8

_SEGMENT: Final = r"/[A-Za-z0-9._~!$&'()@:-]{1,200}"
_PATTERN: Final = re.compile(rf"/|(?:{_SEGMENT})*/\*|(?:{_SEGMENT})+/?")
_DOTS: Final = re.compile(r"/[^/]*\.(?:/|$)")


@dataclass(frozen=True, slots=True, repr=False)
class GateRule:
    """Which gates stand before some paths. Made by ``parse_gates``."""

    paths: tuple[str, ...]
    """Patterns; () for everything that no other rule names."""
    choices: tuple[tuple[GateSpec, ...], ...]
    """Any of these; of each, all gates. ``((),)`` is ``open``: a choice that asks for nothing."""

    @property
    def is_open(self) -> bool:
        """No gate stands there."""
        return () in self.choices

    @property
    def gates(self) -> tuple[GateSpec, ...]:
        """All gates it names, each once."""
        return tuple(dict.fromkeys(gate for choice in self.choices for gate in choice))

    def __str__(self) -> str:
        choices = "|".join("+".join(map(str, choice)) or OPEN for choice in self.choices)
        return f"{','.join(self.paths)}={choices}" if self.paths else choices

    def __repr__(self) -> str:
        return f"GateRule({str(self)!r})"


def parse_gates(texts: Iterable[str]) -> tuple[tuple[GateSpec, ...], tuple[GateRule, ...]]:
    """Take all ``--gate`` texts apart: gates that all must be passed, and rules.

    Raises ``GateUnknown``, ``GateMalformed`` or ``GateConflict``.
    """
    gates: list[GateSpec] = []
    rules: list[GateRule] = []
    for text in texts:
        rule = _parse_rule(text)
        if rule.paths or len(rule.choices) > 1:
            rules.append(rule)
        elif rule.is_open:
            why = "it has no path; to open all of a tunnel, say --public"
            raise GateMalformed(text=OPEN, why=why)
        else:
            gates.extend(rule.choices[0])
    return tuple(gates), tuple(rules)


def sort_key(pattern: str) -> tuple[bool, int]:
    """Orders patterns of which several match: the last one wins."""
    return not pattern.endswith("*"), len(pattern)


def folded(pattern: str) -> str:
    """What two patterns have in common when they differ in nothing that counts."""
    return (pattern.removesuffix("/") or "/").lower()


def _parse_rule(text: str) -> GateRule:
    paths: tuple[str, ...] = ()
    if text.startswith("/"):
        left, equals, text = text.partition("=")
        if not equals:
            raise GateMalformed(text=left[:80], why="gates follow a path: /path=bearer")
        paths = tuple(_pattern(path) for path in left.split(","))
    if text == OPEN:
        return GateRule(paths, ((),))
    choices = text.split("|")
    if len(choices) > MAX_CHOICES:
        raise GateMalformed(text=text[:80], why=f"at most {MAX_CHOICES} choices")
    return GateRule(paths, tuple(_choice(choice) for choice in choices))


def _choice(text: str) -> tuple[GateSpec, ...]:
    parts = text.split("+")
    if OPEN in parts:
        why = "open stands alone: beside it no other gate would keep anybody out"
        raise GateConflict(first=OPEN, second="a gate", why=why)
    return tuple(parse_gate(part) for part in parts)


def _pattern(path: str) -> str:
    if not _PATTERN.fullmatch(path) or _DOTS.search(path):
        why = "a path is / and plain segments, with /* at its end for all below it"
        raise GateMalformed(text=path[:80], why=why)
    return path
