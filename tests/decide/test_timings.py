"""Measured times are those of the conformance runs, and are told with their date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from underpass.decide.need import HOUR, Auth, Need, Visitor
from underpass.decide.timings import TIMINGS, timing_of
from underpass.decide.ways import WAYS
from underpass.drivers.registry import BUILT_IN

RUNS = json.loads((Path(__file__).parents[2] / "docs" / "conformance.json").read_text("utf-8"))

NEAR = 15.0
"""Seconds. Runs differ with what else the machine does; a number of another order is stale."""


@pytest.mark.parametrize("of", TIMINGS)
def test_each_is_near_to_the_last_run(of):
    told = TIMINGS[of]
    assert of in {way.id for way in WAYS} | {way.engine for way in WAYS}
    measured = RUNS["engines"][told.run]["measured"]
    for seconds, name in (
        (told.live, "live"),
        (told.frozen, "frozen far end"),
        (told.recovered, "recovered"),
    ):
        assert abs(seconds - measured[name]) < NEAR, name


def test_every_engine_that_carries_a_way_was_measured():
    assert {way.engine for way in WAYS if timing_of(way)} == set(BUILT_IN)


def test_what_we_open_is_told_with_its_times_and_what_we_do_not_is_not(ask):
    answers = {one.way.id: one for one in ask(Need(seconds=HOUR)).answers}
    told = (
        "measured 2026-11-23 with bore 0.6.0: live after 0.2 s, a frozen far end noticed after "
        "25 s, live again 0.1 s after its return"
    )
    assert told in answers["bore-pub"].limits
    # A vendor's service was not: an edge of ours stood in its place, and that is told.
    (ngrok,) = (each for each in answers["ngrok-free"].limits if "measured 2026" in each)
    assert "with its SDK 1.4.0, an edge of our own: " in ngrok
    people = ask(Need(seconds=HOUR, visitor=Visitor.BROWSER, auth=Auth.SSO)).answers
    for answer in people:
        is_told = any("measured 2026" in limit for limit in answer.limits)
        assert is_told == (answer.driven and timing_of(answer.way) is not None)
