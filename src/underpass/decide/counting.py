"""Which of a way's quotas a need can use up, and what it means that little is left of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from underpass.decide.need import Auth, Traffic
from underpass.decide.quotas import Measure, QuotaFact
from underpass.decide.rules import Case

NEARLY: Final = 10
"""A quota of which less than a tenth is left is as good as used up."""


def concerning(case: Case) -> Iterator[QuotaFact]:
    """The quotas of the way whose count can rise at all."""
    return (fact for fact in case.quotas.of(case.way.id) if _concerns(fact, case))


def remaining(case: Case) -> Iterator[tuple[QuotaFact, int]]:
    """The same where it is known what is left, with that."""
    for fact in concerning(case):
        if fact.amount and (left := case.here.left_of(fact.id)) is not None:
            yield fact, left


def is_nearly_used_up(fact: QuotaFact, left: int) -> bool:
    """Whether so little is left that another way is better."""
    return left * NEARLY < (fact.amount or 0)


def told(fact: QuotaFact, left: int) -> str:
    """For people."""
    number = f"{left:_}".replace("_", " ")
    return f"{number} left of: {fact.says}"


def _concerns(fact: QuotaFact, case: Case) -> bool:
    need = case.need
    match fact.measure:
        case Measure.TCP_CONNECTIONS | Measure.TCP_RATE:
            return need.traffic is Traffic.TCP
        case Measure.REQUESTS | Measure.REQUEST_RATE | Measure.IN_FLIGHT:
            return need.is_web
        case Measure.IDENTITIES:
            return need.auth is Auth.SSO and bool(case.way.chosen(need).theirs)
        case Measure.WEBHOOKS:
            # Counted where the vendor's edge judges signatures; ours are judged here.
            return False
        case Measure.RULES:
            # Only a gate at the vendor's edge is a rule of its policy.
            return bool(case.way.chosen(need).theirs)
        case _:
            return True
