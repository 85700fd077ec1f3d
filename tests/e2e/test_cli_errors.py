"""The table of codes: whole, documented, and each code provoked by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.e2e.stage import Stage

from underpass.cli.commands.errors import every_error
from underpass.model.errors import UnderpassError

TESTS = Path(__file__).resolve().parents[1]

ONLY_OF_TEXT = ("model/test_errors.py", "e2e/test_cli_errors.py")
"""Tests that look at all codes, or at made-up errors: they provoke none."""


@pytest.fixture(scope="module")
def sources() -> str:
    """All tests as one text."""
    return "\n".join(
        path.read_text()
        for path in sorted(TESTS.rglob("*.py"))
        if path.relative_to(TESTS).as_posix() not in ONLY_OF_TEXT
    )


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_code_is_provoked_by_a_test(error: type[UnderpassError], sources: str):
    by_name = re.search(rf"\b{error.__name__}\b(?!.*import)", sources)
    by_code = re.search(rf"""["'\[]{error.code}["'\]]""", sources)
    assert by_name or by_code, f"no test provokes {error.code} ({error.__name__})"


async def test_errors_json_names_each_code_once(stage: Stage):
    told = (await stage.run("errors", "--json")).json
    assert told["schema"] == "underpass/v1/errors"
    assert [each["code"] for each in told["errors"]] == [each.code for each in every_error()]
    for each in told["errors"]:
        assert list(each) == [
            *("code", "kind", "what", "message", "hint", "retryable", "exit_code"),
        ]
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+|superseded|usage", each["code"])
        assert each["message"].startswith("cannot ")


async def test_one_code_is_explained(stage: Stage):
    page = (await stage.run("errors", "name-taken")).out.splitlines()
    assert page[0] == "name-taken"
    assert page[-1].split() == ["retry", "no", "use", "unchanged"]
    assert (await stage.run("errors", "no-such-code")).code == 2
