"""The choice: every way weighed for a need, those that fit ranked, the others with their reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from underpass.decide.boundaries import Boundary, boundary_of
from underpass.decide.counting import concerning, remaining, told
from underpass.decide.here import Here
from underpass.decide.need import Audience, Auth, Need, Task, Traffic, Visitor
from underpass.decide.plans import plan
from underpass.decide.preferences import Reason, reasons, setup_seconds
from underpass.decide.quotas import QuotaFact, Quotas
from underpass.decide.rules import Case, broken_rules
from underpass.decide.steps import Plan, addresses
from underpass.decide.timings import timing_of
from underpass.decide.way import Way
from underpass.decide.ways import WAYS


@dataclass(frozen=True, slots=True)
class Answer:
    """One way that keeps every constraint."""

    way: Way
    points: int
    reasons: tuple[Reason, ...]
    driven: bool
    """Whether underpass itself opens, guards and proves it; else the commands are the vendor's."""
    gate: str
    """How visitors show who they are."""
    limits: tuple[str, ...]
    quotas: tuple[QuotaFact, ...]
    setup_seconds: int
    missing: tuple[str, ...]
    """Programs that were looked for and not found, or are too old."""
    plan: Plan


@dataclass(frozen=True, slots=True)
class Unfit:
    """One way that breaks constraints."""

    way: Way
    broken: tuple[tuple[str, str], ...]
    """Code of the rule, and why."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Answers, best first, or else a boundary: never both, never neither."""

    need: Need
    answers: tuple[Answer, ...]
    boundary: Boundary | None
    unfit: tuple[Unfit, ...]
    cautions: tuple[str, ...]


def advise(need: Need, here: Here, quotas: Quotas, today: date) -> Advice:
    """Weigh every way. The same facts give the same advice; ``today`` only dates the quotas."""
    if (boundary := boundary_of(need)) is not None:
        return Advice(need, (), boundary, (), ())
    cases = [Case(need, here, quotas, way) for way in WAYS]
    judged = [(case, broken_rules(case)) for case in cases]
    answers = [_answer(case) for case, broken in judged if not broken]
    unfit = tuple(Unfit(case.way, broken) for case, broken in judged if broken)
    # The sort is stable: equals stay in the order of the table.
    ranked = tuple(sorted(answers, key=lambda answer: -answer.points))
    boundary = None if ranked else _nothing_fits(unfit)
    return Advice(need, ranked, boundary, unfit, _cautions(need, here, ranked, quotas, today))


def _answer(case: Case) -> Answer:
    found = reasons(case)
    made = plan(case.way.id, case.need)
    missing = tuple(program for program in case.way.programs if case.here.lacks(program))
    return Answer(
        way=case.way,
        points=sum(reason.points for reason in found),
        reasons=found,
        driven=not made.theirs,
        gate=_gate(case),
        limits=(*_limits(case, made), *case.way.limits, *_measured(case, made)),
        quotas=tuple(concerning(case)),
        setup_seconds=setup_seconds(case),
        missing=missing,
        plan=made,
    )


def _gate(case: Case) -> str:
    offer = case.way.chosen(case.need)
    return offer.how.replace("CIDR", addresses(case.need))


def _limits(case: Case, made: Plan) -> Iterable[str]:
    """What this need, or this machine, makes of the way."""
    way, need, here = case.way, case.need, case.here
    if made.theirs:
        yield (
            f"the vendor's own commands, without our gates and proofs: {made.theirs}; one curl "
            "proves little, so test logins, streams and sizes too"
        )
    for program in way.programs:
        for found in here.programs:
            if found.program == program and found.why_not:
                yield f"the {program} here does not count: {found.why_not}"
    yield from (told(fact, left) for fact, left in remaining(case))
    public = need.audience is Audience.PUBLIC and need.task is not Task.REACH
    if public and way.chosen(need).auth is Auth.NONE:
        yield "open: whoever learns the address gets to the origin, scanners included"
        if need.traffic is Traffic.TCP and not made.theirs:
            yield (
                "nobody tells where its byte streams come from, so underpass opens them for 1 h at "
                "most, or as long as public_limit in policy.toml says"
            )


def _measured(case: Case, made: Plan) -> Iterable[str]:
    timing = timing_of(case.way)
    if timing is not None and not made.theirs:
        yield timing.sentence()


def _nothing_fits(unfit: tuple[Unfit, ...]) -> Boundary:
    # Another task or other traffic is another need; every other constraint might be given up.
    fixed = {"task", "traffic"}
    able = [one for one in unfit if not fixed & {code for code, _ in one.broken}] or list(unfit)
    fewest = min(len(one.broken) for one in able)
    given_up: dict[str, list[str]] = {}
    for one in able:
        if len(one.broken) == fewest:
            codes = " and ".join(code for code, _ in one.broken)
            given_up.setdefault(codes, []).append(one.way.id)
    told = "; ".join(f"without {codes}: {', '.join(ways)}" for codes, ways in given_up.items())
    return Boundary("nothing-fits", "no way that is known keeps every constraint", told)


def _guessed(need: Need) -> Iterable[str]:
    if need.auth is None and need.visitor is None:
        yield "say who comes (--visitor) and how they show it (--auth): else it is a guess"
    elif need.auth is None:
        yield f"the gate is what a visitor of the kind {need.visitor} can pass: --auth says another"
    if need.traffic is Traffic.TCP and need.visitor in (None, Visitor.OWN_MACHINE):
        yield "where only machines of yours come, ask with --private: ways without a public port"


def _cautions(
    need: Need, here: Here, answers: tuple[Answer, ...], quotas: Quotas, today: date
) -> tuple[str, ...]:
    cautions: list[str] = []
    if need.task is Task.EXPOSE and need.audience is Audience.PUBLIC:
        cautions += _guessed(need)
    cautions += [
        f"{one.exposes} is exposed by {one.engine} already ({one.where})"
        for one in here.foreign
        if need.names.origin is not None and one.port == need.names.origin.port != 0
    ]
    stale = [
        fact.id for answer in answers for fact in answer.quotas if quotas.is_stale(fact, today)
    ]
    if stale:
        cautions.append(f"older than half a year, look again: {', '.join(dict.fromkeys(stale))}")
    return tuple(cautions)
