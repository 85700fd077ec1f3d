"""Quotas of vendors as dated, sourced data, read from text.

Numbers of vendors age faster than code, so none of them stands in a rule: a rule asks for a measure
and gets what the file says. The shell reads ``quotas.toml`` (package data) and hands its text over.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

STALE_AFTER_DAYS: Final = 180
"""Half a year: two of the vendors changed their free plans within one."""


COUNTED: Final = {"ngrok": "ngrok-free"}
"""Ways whose vendor counts, by the engine whose tunnels use them up."""


class Measure(StrEnum):
    """What a quota counts."""

    TRANSFER = "bytes-out-per-month"
    REQUESTS = "requests-per-month"
    REQUEST_RATE = "requests-per-minute"
    TCP_CONNECTIONS = "tcp-connections-per-month"
    TCP_RATE = "tcp-connections-per-minute"
    IN_FLIGHT = "requests-in-flight"
    ENDPOINTS = "endpoints"
    AGENTS = "agents"
    RULES = "policy-rules"
    IDENTITIES = "identities-per-month"
    WEBHOOKS = "webhooks-per-month"
    NAMES = "names"
    PORTS = "ports"
    SILENCE = "silence-seconds"
    BODY = "body-bytes"
    SESSION = "session-seconds"
    KEY_AGE = "key-days"
    BANDWIDTH = "bandwidth"


class Basis(StrEnum):
    """How well a number is known."""

    VENDOR_PAGE = "vendor-page"
    VENDOR_SOURCE = "vendor-source"
    MEASURED = "measured"
    REPORTED = "reported"
    """Told by others and not checked: a hint."""


@dataclass(frozen=True, slots=True)
class QuotaFact:
    """One quota of one or more ways."""

    id: str
    ways: tuple[str, ...]
    measure: Measure
    says: str
    """For people, without the date."""
    as_of: date
    source: str
    basis: Basis
    amount: int | None = None
    """None: there is a limit, or none, but no number is published."""

    def sentence(self) -> str:
        """For people, with its date and how well it is known."""
        known = ", reported" if self.basis is Basis.REPORTED else ""
        return f"{self.says} (as of {self.as_of}{known})"


@dataclass(frozen=True, slots=True)
class Quotas:
    """All of them."""

    facts: tuple[QuotaFact, ...]

    def of(self, way: str) -> Iterator[QuotaFact]:
        """The quotas that bind ``way``, in the file's order."""
        return (fact for fact in self.facts if way in fact.ways)

    def bound(self, way: str, measure: Measure) -> QuotaFact | None:
        """The tightest quota of ``way`` on ``measure`` that has a number."""
        bounds = [fact for fact in self.of(way) if fact.measure is measure]
        return min(
            (fact for fact in bounds if fact.amount is not None),
            key=lambda fact: fact.amount or 0,
            default=None,
        )

    def is_stale(self, fact: QuotaFact, today: date) -> bool:
        """Whether ``fact`` is older than half a year."""
        return (today - fact.as_of).days > STALE_AFTER_DAYS


def parse_quotas(text: str) -> Quotas:
    """Read the data file. Raises ``ValueError`` that names every wrong entry."""
    facts: list[QuotaFact] = []
    mistakes: list[str] = []
    for number, entry in enumerate(tomllib.loads(text).get("quota", ()), 1):
        try:
            facts.append(_fact(entry))
        except (KeyError, TypeError, ValueError) as error:
            mistakes.append(f"entry {number} ({entry.get('id', 'no id')}): {error}")
    ids = [fact.id for fact in facts]
    mistakes += [f"{one} is there twice" for one in sorted({i for i in ids if ids.count(i) > 1})]
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return Quotas(tuple(facts))


_KEYS = frozenset({"id", "ways", "measure", "amount", "says", "as_of", "source", "basis"})


def _fact(entry: dict[str, Any]) -> QuotaFact:
    if unknown := entry.keys() - _KEYS:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    amount = entry.get("amount")
    if amount is not None and (not isinstance(amount, int) or amount < 0):
        raise ValueError("amount is no whole number")
    if not isinstance(entry["as_of"], date):
        raise ValueError("as_of is no date")
    if not entry["source"] or not entry["says"] or not entry["ways"]:
        raise ValueError("source, says and ways must say something")
    return QuotaFact(
        id=entry["id"],
        ways=tuple(entry["ways"]),
        measure=Measure(entry["measure"]),
        says=entry["says"],
        as_of=entry["as_of"],
        source=entry["source"],
        basis=Basis(entry["basis"]),
        amount=amount,
    )
