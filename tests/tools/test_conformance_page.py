from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from underpass.testing.driver_suite import DriverSuite

SCRIPT = Path(__file__).parents[2] / "tools" / "conformance_page.py"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_test_of_the_suite_has_its_row(tool: ModuleType) -> None:
    assert {test for _, test in tool.ABILITIES} == {
        name for name in dir(DriverSuite) if name.startswith("test_")
    }


def test_what_worked_what_did_not_and_why_are_told_apart(tool: ModuleType) -> None:
    rows = [test for _, test in tool.ABILITIES]
    text = tool.page(
        {
            "engines": {
                "bore": {
                    "version": "0.6.0",
                    "tests": {
                        rows[0]: {"outcome": "passed", "why": ""},
                        rows[1]: {"outcome": "failed", "why": ""},
                        rows[2]: {"outcome": "skipped", "why": "it has no secret"},
                        rows[3]: {"outcome": "skipped", "why": "it has no secret"},
                    },
                    "measured": {"live": 0.25, "dead path, by its own word": None},
                },
                "relay": {"version": "", "tests": {}, "measured": {}},
            }
        },
        {"bore": {"live": 0.15, "recovered": None}},
    )
    lines = text.splitlines()
    start = lines.index("|  | relay | bore |")
    assert lines[start + 2] == "| version | — | 0.6.0 |"
    assert [line.rsplit("|", 2)[1].strip() for line in lines[start + 3 : start + 8]] == [
        *("yes", "**no**", "(1)", "(1)", "not run"),
    ]
    assert "1. It has no secret" in lines
    assert "| open to live | — | 0.2 |" in lines
    assert "| open to live | 0.2 / 0.1 |" in lines
    assert "| live again | — / **never** |" in lines


def test_an_engine_is_beside_itself(tool: ModuleType) -> None:
    """What was measured alone was measured by us, too, under the same name."""
    docs = SCRIPT.parents[1] / "docs"
    ours = json.loads((docs / "conformance.json").read_text("utf-8"))["engines"]
    alone = json.loads((docs / "alone.json").read_text("utf-8"))
    keys = [key for key, _ in tool.BESIDE]
    for name, theirs in alone.items():
        assert set(keys) <= theirs.keys()
        assert all(ours[name]["measured"][key] is not None for key in keys), name
