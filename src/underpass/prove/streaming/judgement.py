"""What a tunnel that carries streams must keep to, and whether it did: pure.

Limits are data. On loopback nothing but the tunnel delays, so its delay has a limit; from farther
away the network's own is in the numbers, and they are told and not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from underpass.prove.streaming.results import Cancellation, Measured


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that passes; None: told, not judged."""

    first_byte_p99_us: int | None = 5_000
    event_p99_us: int | None = 5_000
    clumped_permille: int = 200
    """Of the slowest stream. A busy machine bunches a few events; a collector bunches all."""
    cancellation_us: int = 1_000_000


LOOPBACK: Final = Limits()
ELSEWHERE: Final = Limits(first_byte_p99_us=None, event_p99_us=None)


_LINES: Final = {
    "first byte": "first-byte",
    "large answer": "intact",
    "large request": "intact",
    "long answer": "intact",
    "long request": "intact",
    "changes": "unchanged",
    "leaving": "leaving",
    "breaking": "breaking",
    "silence": "silence",
}
"""Where it is told that a measure failed; the others are streams of events."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the verdict."""

    name: str
    outcome: str
    """``passed``, ``failed`` or ``told``."""
    words: str


def judge(measured: Measured, limits: Limits) -> list[Line]:
    """Every line, in the order in which they are read."""
    judges: tuple[tuple[str, Callable[[Measured, Limits], tuple[bool | None, str]]], ...] = (
        ("first-byte", _first_byte),
        ("events", _events),
        ("unbuffered", _unbuffered),
        ("intact", _intact),
        ("unchanged", _unchanged),
        ("leaving", lambda found, limit: _cancellation(found.leaving, limit, "the origin")),
        ("breaking", lambda found, limit: _cancellation(found.breaking, limit, "the visitor")),
        ("silence", _silence),
    )
    lines = []
    for name, look in judges:
        is_kept, words = look(measured, limits)
        faults = [why for each, why in measured.faults if _LINES.get(each, "events") == name]
        words = "; ".join((words, *faults[:1]))
        outcome = "told" if is_kept is None else "passed" if is_kept else "failed"
        lines.append(Line(name, outcome, words))
    return lines


def is_kept(lines: Iterable[Line]) -> bool:
    """Whether no line failed."""
    return all(line.outcome != "failed" for line in lines)


def _first_byte(measured: Measured, limits: Limits) -> tuple[bool | None, str]:
    if measured.first_byte is None:
        return False, "no answer came"
    added, most = measured.first_byte.added, limits.first_byte_p99_us
    words = f"{ms(added.p50)} added, p99 {ms(added.p99)}, at most {ms(added.max)}"
    words += _rounds(measured.first_byte.rounds_p99_us)
    return None if most is None else added.p99 <= most, words


def _events(measured: Measured, limits: Limits) -> tuple[bool | None, str]:
    if len(measured.events) < len(measured.parameters.rates):
        return False, "a stream did not come"
    if any(each.seen < each.sent or each.added is None for each in measured.events):
        return False, "events were lost"
    added = [(each.added, each) for each in measured.events if each.added is not None]
    worst, stream = max(added, key=lambda each: each[0].p99)
    words = f"{ms(worst.p50)} added to each, p99 {ms(worst.p99)}, at most {ms(worst.max)}"
    words += _rounds(stream.rounds_p99_us)
    most = limits.event_p99_us
    return None if most is None else worst.p99 <= most, words


def _rounds(p99s: tuple[int, ...]) -> str:
    return f", in the quietest of {len(p99s)} rounds" if len(p99s) > 1 else ""


def _unbuffered(measured: Measured, limits: Limits) -> tuple[bool | None, str]:
    if not measured.events:
        return False, "no stream came"
    slowest = min(measured.events, key=lambda each: each.per_second)
    if slowest.head_waited:
        return False, "the head is held back until the first event"
    share = slowest.clumped_permille
    if share > limits.clumped_permille:
        return False, f"{share / 10:.0f} % of the events come on the heels of the one before"
    return True, "heads and events are passed on at once"


def _intact(measured: Measured, limits: Limits) -> tuple[bool | None, str]:
    broken = [f"{each.kind} {each.direction}" for each in measured.bodies if not each.is_intact]
    if len(measured.bodies) < 4:
        return False, "not every large body came through"
    if broken:
        return False, "changed or cut on the way: " + ", ".join(broken)
    return True, "every large body came whole and unchanged, both ways"


def _unchanged(measured: Measured, limits: Limits) -> tuple[bool | None, str]:
    changes = measured.changes
    if changes is None:
        return False, "no answer came"
    found = []
    if changes.content_coding:
        found.append(f"answers are packed with {changes.content_coding}")
    elif not changes.is_text_same:
        found.append("text is rewritten")
    if changes.answer_fields:
        found.append("of the answer: " + ", ".join(changes.answer_fields))
    if changes.request_fields:
        found.append("of the request: " + ", ".join(changes.request_fields))
    return not found, "; ".join(found) or "nothing is packed, rewritten or taken away"


def _cancellation(found: Cancellation | None, limits: Limits, who: str) -> tuple[bool | None, str]:
    if found is None:
        return False, "no stream came"
    if found.looked_complete:
        return False, "a broken answer looks complete"
    if found.told < found.tried or found.delay is None:
        return False, f"{who} was not told {found.tried - found.told} times of {found.tried}"
    return found.delay.max <= limits.cancellation_us, f"{who} is told within {ms(found.delay.max)}"


def _silence(measured: Measured, limits: Limits) -> tuple[bool | None, str]:
    for each in measured.silences:
        if each.kind == "event-stream":
            asked, survived = each.asked_ms / 1000, each.survived_ms / 1000
            if each.is_whole:
                return True, f"{asked:g} s survived, {each.comments} comments put in"
            return False, f"cut after {survived:.1f} s of {asked:g} s"
    return False, "no stream came"


def ms(us: int) -> str:
    """Microseconds for people."""
    return f"{us / 1000:.2f} ms" if us < 100_000 else f"{us / 1000:.0f} ms"
