"""What an answer must show to be a finding: the form of one row, and how it is held to an answer.

All that a row names must be there: the status, fields, parts of the body, members of its JSON. A
port's number is never a sign, and no word that a page could mention in passing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from underpass.guard.preflight.findings import Finding
from underpass.guard.preflight.seen import Seen

_LONGEST_EXCERPT: Final = 80


@dataclass(frozen=True, slots=True)
class Sign:
    """One way in which one program shows itself."""

    code: str
    what: str
    asks: tuple[str, ...]
    """Names of the questions whose answers are looked at."""
    hint: str
    status: tuple[int, ...] = (200,)
    fields: Mapping[str, str] = field(default_factory=dict)
    """Header fields in lower case, each with what its value must match at its beginning."""
    body: tuple[str, ...] = ()
    """Patterns that must all be found. The first is quoted: it must not reach over a secret."""
    members: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict)
    """Members of the JSON object with their types."""

    def find(self, seen: Seen) -> Finding | None:
        """What ``seen`` shows of it."""
        if seen.name not in self.asks or seen.status not in self.status:
            return None
        for name, pattern in self.fields.items():
            if re.match(pattern.encode(), seen.header(name)) is None:
                return None
        matches = [re.search(pattern.encode(), seen.body) for pattern in self.body]
        if not all(matches) or not self._has_members(seen):
            return None
        told = [f"status {seen.status}"]
        told += [f"{name}: {_shown(seen.header(name))}" for name in self.fields]
        if matches and matches[0] is not None:
            told.append(_shown(matches[0][0]))
        if self.members:
            told.append("JSON with " + ", ".join(self.members))
        return Finding(self.code, self.what, seen.where + seen.how, "; ".join(told), self.hint)

    def spans(self, seen: Seen) -> list[tuple[int, int]]:
        """Where in the body of ``seen`` its patterns are, for whoever keeps no more than that."""
        matches = (re.search(pattern.encode(), seen.body) for pattern in self.body)
        return [match.span() for match in matches if match is not None]

    def _has_members(self, seen: Seen) -> bool:
        if not self.members:
            return True
        found = seen.json
        return isinstance(found, dict) and all(
            isinstance(found.get(name), kind) for name, kind in self.members.items()
        )


def judge(answers: Iterable[Seen], signs: Iterable[Sign]) -> tuple[Finding, ...]:
    """All findings, each code once, in the order of the signs."""
    answers = tuple(answers)
    found: dict[str, Finding] = {}
    for sign in signs:
        # In the order of the questions, whichever was answered first.
        for seen in sorted(answers, key=partial(_rank, sign)):
            finding = None if sign.code in found else sign.find(seen)
            if finding is not None:
                found[sign.code] = finding
    return tuple(found.values())


def _rank(sign: Sign, seen: Seen) -> tuple[int, str]:
    return (sign.asks.index(seen.name) if seen.name in sign.asks else len(sign.asks), seen.where)


def _shown(text: bytes) -> str:
    plain = " ".join(text.decode("latin-1").split())
    return "".join(c if c.isprintable() else "?" for c in plain)[:_LONGEST_EXCERPT]
