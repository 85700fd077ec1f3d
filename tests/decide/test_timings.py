"""Measured times are those of the conformance runs, and are told with their date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from underpass.decide.need import HOUR, Need, Visitor
from underpass.decide.timings import TIMINGS
from underpass.drivers.registry import BUILT_IN

RUNS = json.loads((Path(__file__).parents[2] / "docs" / "conformance.json").read_text("utf-8"))

NEAR = 15.0
"""Seconds. Runs differ with what else the machine does; a number of another order is stale."""


@pytest.mark.parametrize("engine", TIMINGS)
def test_each_is_near_to_the_last_run(engine):
    assert engine in BUILT_IN
    measured = RUNS["engines"][engine]["measured"]
    told = TIMINGS[engine]
    for seconds, name in (
        (told.live, "live"),
        (told.frozen, "frozen far end"),
        (told.recovered, "recovered"),
    ):
        assert abs(seconds - measured[name]) < NEAR, name


def test_what_we_open_is_told_with_its_times_and_what_we_do_not_is_not(ask):
    answers = {one.way.id: one for one in ask(Need(seconds=HOUR)).answers}
    told = (
        "measured 2026-11-23 with bore 0.6.0: live after 0.2 s, a frozen far end noticed after "
        "25 s, live again 0.2 s after its return"
    )
    assert told in answers["bore-pub"].limits
    # Nobody measured ngrok's service.
    assert not any("measured 2026" in limit for limit in answers["ngrok-free"].limits)
    people = ask(Need(seconds=HOUR, visitor=Visitor.BROWSER)).answers
    assert all(
        any("measured 2026" in limit for limit in a.limits)
        for a in people
        if a.driven and a.way.engine in TIMINGS
    )
