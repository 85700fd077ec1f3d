"""Limits are data; each line is judged by its own numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from underpass.prove.streaming.certificate import SCHEMA
from underpass.prove.streaming.judgement import ELSEWHERE, LOOPBACK, Limits, is_kept, judge
from underpass.prove.streaming.numbers import Spread
from underpass.prove.streaming.results import (
    Body,
    Cancellation,
    Changes,
    Events,
    FirstByte,
    Measured,
    Parameters,
    Silence,
)

QUICK = Spread(10, 100, 4_000, 9_000)
SLOW = Spread(10, 100, 5_001, 9_000)
TOLD = Cancellation(2, 2, QUICK)
BODIES = tuple(
    Body(direction, kind, 1, 1, 1, True)
    for direction in ("down", "up")
    for kind in ("bytes", "tokens")
)
GOOD = Measured(
    parameters=Parameters(rates=((10, 5),)),
    connect=QUICK,
    first_byte=FirstByte(QUICK, QUICK, (4_000,)),
    events=(Events(10, 5, 5, QUICK, QUICK, 0, False),),
    bodies=BODIES,
    changes=Changes("", True, (), ()),
    leaving=TOLD,
    breaking=TOLD,
    silences=(Silence("event-stream", 900_000, 900_000, 60, True),),
)
NOTHING = Measured(Parameters(), None, None, (), (), None, None, None, ())


def outcomes(found: Measured, limits: Limits = LOOPBACK) -> dict[str, str]:
    return {line.name: line.outcome for line in judge(found, limits)}


def failed(found: Measured, limits: Limits = LOOPBACK) -> list[str]:
    return [name for name, outcome in outcomes(found, limits).items() if outcome == "failed"]


def words(found: Measured, name: str) -> str:
    return next(line.words for line in judge(found, LOOPBACK) if line.name == name)


def test_a_good_way_passes_every_line() -> None:
    assert set(outcomes(GOOD).values()) == {"passed"}
    assert is_kept(judge(GOOD, LOOPBACK))
    assert words(GOOD, "silence") == "900 s survived, 60 comments put in"
    assert words(GOOD, "events") == "0.10 ms added to each, p99 4.00 ms, at most 9.00 ms"


def test_what_could_not_be_measured_has_failed() -> None:
    assert failed(NOTHING) == list(outcomes(NOTHING))
    assert not is_kept(judge(NOTHING, LOOPBACK))


def test_every_line_and_its_limits_stand_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "streaming.md").read_text()
    for name in outcomes(GOOD):
        assert f"| `{name}` |" in page
    assert LOOPBACK.first_byte_p99_us == LOOPBACK.event_p99_us == 5_000
    assert page.count("p99 5 ms on loopback") == 2
    assert LOOPBACK.cancellation_us == ELSEWHERE.cancellation_us == 1_000_000
    assert SCHEMA in page


def test_why_a_measure_failed_stands_in_its_line() -> None:
    why = (("long answer", "it broke"), ("10 events a second", "it stopped"))
    found = replace(NOTHING, faults=why)
    assert words(found, "intact") == "not every large body came through; it broke"
    assert words(found, "events") == "a stream did not come; it stopped"
    assert words(found, "leaving") == "no stream came"


def test_delay_is_judged_on_loopback_and_told_elsewhere() -> None:
    late = replace(
        GOOD,
        first_byte=FirstByte(SLOW, QUICK, (6_000, 5_001)),
        events=(replace(GOOD.events[0], added=SLOW),),
    )
    assert failed(late) == ["first-byte", "events"]
    assert words(late, "first-byte").endswith("in the quietest of 2 rounds")
    assert outcomes(late, ELSEWHERE)["events"] == "told"
    assert failed(late, ELSEWHERE) == []


def test_each_fault_fails_its_line() -> None:
    event, told = GOOD.events[0], Spread(2, 5, 1_000_001, 1_000_001)
    for found, name, said in (
        (replace(GOOD, events=(replace(event, seen=4),)), "events", "events were lost"),
        (replace(GOOD, events=(replace(event, head_waited=True),)), "unbuffered", "held back"),
        (replace(GOOD, events=(replace(event, clumped_permille=201),)), "unbuffered", "20 %"),
        (
            replace(GOOD, bodies=(replace(BODIES[1], is_intact=False), *BODIES[1:])),
            "intact",
            "tokens down",
        ),
        (replace(GOOD, bodies=BODIES[1:]), "intact", "not every"),
        (replace(GOOD, changes=Changes("gzip", False, (), ())), "unchanged", "packed with gzip"),
        (replace(GOOD, changes=Changes("", False, (), ())), "unchanged", "text is rewritten"),
        (
            replace(GOOD, changes=Changes("", True, ("x-a",), ("mcp-name",))),
            "unchanged",
            "of the answer: x-a; of the request: mcp-name",
        ),
        (replace(GOOD, leaving=replace(TOLD, told=1)), "leaving", "not told 1 times of 2"),
        (replace(GOOD, leaving=replace(TOLD, delay=told)), "leaving", "within 1000 ms"),
        (replace(GOOD, breaking=replace(TOLD, looked_complete=1)), "breaking", "looks complete"),
        (
            replace(GOOD, silences=(Silence("event-stream", 2_000, 500, 0, False),)),
            "silence",
            "cut after 0.5 s of 2 s",
        ),
    ):
        assert failed(found) == [name], said
        assert said in words(found, name)
