"""What real programs answered, written down by ``tools/preflight/record.py``, is judged right.

They are too heavy to run each time. The recordings hold what preflight itself was answered, cut to
the beginning of each body and what its signs look at.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from underpass.guard.preflight.asks import FOLLOWING, WEB
from underpass.guard.preflight.seen import Seen
from underpass.guard.preflight.signs import judge
from underpass.guard.preflight.table import WEB_SIGNS

pytestmark = pytest.mark.pure

RECORDED: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("recorded.json").read_text(encoding="utf-8")
)
ASKED = {ask.name for ask in WEB} | {each.ask.name for each in FOLLOWING}


def seen(answer: dict[str, Any]) -> Seen:
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"].items()]
    body = answer["body"].encode()
    return Seen(answer["ask"], answer["where"], answer["status"], headers, body)


@pytest.mark.parametrize("program", RECORDED, ids=lambda program: program["program"])
def test_a_real_program_is_judged_by_what_it_answered(program: dict[str, Any]):
    answers = [seen(answer) for answer in program["answers"]]
    assert [each.code for each in judge(answers, WEB_SIGNS)] == program["finds"]


@pytest.mark.parametrize("program", RECORDED, ids=lambda program: program["program"])
def test_a_recording_says_what_it_is_of_and_asks_what_is_still_asked(program: dict[str, Any]):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", program["on"])
    assert program["version"]
    assert program["answers"]
    assert {answer["ask"] for answer in program["answers"]} <= ASKED


def test_some_are_dangerous_and_some_are_not():
    assert len([program for program in RECORDED if program["finds"]]) >= 10
    assert len([program for program in RECORDED if not program["finds"]]) >= 5
