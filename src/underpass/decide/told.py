"""How advice reads: as text for people, and as objects for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from underpass.decide.advice import Advice, Answer
from underpass.decide.need import Need
from underpass.decide.steps import HERE, Step
from underpass.model.duration import format_duration

SCHEMA: Final = "underpass/v1/advice"

_WIDTH: Final = 89
"""Of prose, so that a line with its label has 100 columns; commands are never broken."""


def text(advice: Advice, top: int) -> str:
    """The ``top`` best answers whole and the others by name, or the boundary."""
    if advice.boundary is not None:
        what = "nothing fits" if advice.boundary.code == "nothing-fits" else "no tunnel for this"
        use = "nearest" if advice.boundary.code == "nothing-fits" else "use"
        return f"{what}: {advice.boundary.why}\n{use}: {advice.boundary.use}"
    shown = advice.answers[:top]
    parts = ["\n".join(_answer(number, answer)) for number, answer in enumerate(shown, 1)]
    if others := [answer.way.id for answer in advice.answers[top:]]:
        parts.append(f"also fit: {', '.join(others)}")
    return "\n\n".join(parts)


def _answer(number: int, answer: Answer) -> Iterator[str]:
    way = answer.way
    yield f"{number}. {way.id}: {way.title}"
    yield from _rows("why", [reason.why for reason in answer.reasons if reason.points >= 0])
    yield from _rows("against", [reason.why for reason in answer.reasons if reason.points < 0])
    yield from _rows("visitor", [way.visitor_sees])
    yield from _rows("gate", [answer.gate])
    yield from _rows("limits", [*answer.limits, *(quota.sentence() for quota in answer.quotas)])
    needed = f"; not here: {', '.join(answer.missing)}" if answer.missing else ""
    yield from _rows("set-up", [f"about {format_duration(answer.setup_seconds)}{needed}"])
    yield from _lines("run", [line for step in answer.plan.run for line in _step(step)])
    yield from _lines("undo", [line for step in answer.plan.undo for line in _step(step)])
    yield from _lines("instead", [line for step in answer.plan.instead for line in _step(step)])


def _rows(name: str, texts: list[str]) -> Iterator[str]:
    # Each after the first line of its own is set in, so that one can be told from the next.
    broken = [
        line
        for one in texts
        for line in textwrap.wrap(
            one, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
    ]
    yield from _lines(name, broken)


def _lines(name: str, lines: list[str]) -> Iterator[str]:
    for position, line in enumerate(lines):
        yield f"   {name if position == 0 else '':<8}{line}"


def _step(step: Step) -> Iterator[str]:
    place = "" if step.where == HERE else f"[{step.where}] "
    notes = [f"with {name} set" for name in step.environment]
    if step.note and (step.argv or step.file):
        notes.append(step.note)
    yield f"{place}{step.line}" + (f"   # {'; '.join(notes)}" if notes else "")
    for line in step.text.splitlines():
        yield f"  | {line}".rstrip()


def whole_object(advice: Advice) -> dict[str, Any]:
    """Everything, for ``--json``."""
    return {
        "schema": SCHEMA,
        "need": need_object(advice.need),
        "answers": [
            {
                "engine": answer.way.engine,
                "way": answer.way.id,
                "title": answer.way.title,
                "driven": answer.driven,
                "points": answer.points,
                "reasons": [{"points": r.points, "why": r.why} for r in answer.reasons],
                "limits": list(answer.limits),
                "quotas": [
                    {
                        "id": quota.id,
                        "measure": quota.measure.value,
                        "amount": quota.amount,
                        "says": quota.says,
                        "as_of": quota.as_of.isoformat(),
                        "source": quota.source,
                        "basis": quota.basis.value,
                    }
                    for quota in answer.quotas
                ],
                "visitor_sees": answer.way.visitor_sees,
                "gate": answer.gate,
                "setup_seconds": answer.setup_seconds,
                "missing": list(answer.missing),
                "run": [_step_object(step) for step in answer.plan.run],
                "undo": [_step_object(step) for step in answer.plan.undo],
                "instead": [_step_object(step) for step in answer.plan.instead],
            }
            for answer in advice.answers
        ],
        "boundary": _boundary_object(advice),
        "unfit": [
            {
                "engine": unfit.way.engine,
                "way": unfit.way.id,
                "broken": [{"rule": code, "why": why} for code, why in unfit.broken],
            }
            for unfit in advice.unfit
        ],
        "cautions": list(advice.cautions),
    }


def compact_object(advice: Advice, top: int) -> dict[str, Any]:
    """The same for an agent: the best answers, in few words, nothing that is empty."""
    answers = [
        {
            "engine": answer.way.engine,
            "way": answer.way.id,
            "driven": answer.driven,
            "why": [reason.why for reason in answer.reasons if reason.points >= 0],
            "limits": [*answer.limits, *(quota.sentence() for quota in answer.quotas)],
            "visitor": answer.way.visitor_sees,
            "gate": answer.gate,
            "setup_s": answer.setup_seconds,
            "missing": list(answer.missing),
            "run": [_step_object(step) for step in answer.plan.run],
            "undo": [_step_object(step) for step in answer.plan.undo],
            "instead": [_step_object(step) for step in answer.plan.instead],
        }
        for answer in advice.answers[:top]
    ]
    whole: dict[str, Any] = {
        "schema": f"{SCHEMA}-compact",
        "answers": [{key: value for key, value in one.items() if value != []} for one in answers],
        "boundary": _boundary_object(advice),
        "cautions": list(advice.cautions),
    }
    return {key: value for key, value in whole.items() if value not in (None, [])}


def need_object(need: Need) -> dict[str, Any]:
    """What was said, without what was left out."""
    default = Need()
    said = {
        name: getattr(need, name)
        for name in Need.__dataclass_fields__
        if name != "names" and getattr(need, name) != getattr(default, name)
    }
    said |= {"task": need.task, "traffic": need.traffic, "audience": need.audience}
    return {"seconds": need.seconds} | {
        name: value.value if hasattr(value, "value") else value for name, value in said.items()
    }


def _boundary_object(advice: Advice) -> dict[str, str] | None:
    boundary = advice.boundary
    if boundary is None:
        return None
    return {"code": boundary.code, "why": boundary.why, "use": boundary.use}


def _step_object(step: Step) -> dict[str, Any]:
    told = {
        "where": step.where if step.where != HERE else "",
        "argv": list(step.argv),
        "file": step.file,
        "mode": f"{step.mode:04o}" if step.file else "",
        "text": step.text,
        "secrets": list(step.environment),
        "note": step.note,
    }
    return {name: value for name, value in told.items() if value}
