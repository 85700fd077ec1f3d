"""What the run of everything says at its end: each step, what failed and why, what did so once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci" / "run"

MAKE = """#!/usr/bin/env bash
echo "$1" >> "$STAGE/made"
echo "$2" >> "$STAGE/words"
if [ -f "$STAGE/$1" ]; then cat "$STAGE/$1"; exit 2; fi
"""
AGAIN = """#!/usr/bin/env bash
echo "$*" >> "$STAGE/asked"
[ -f "$STAGE/again" ] && { cat "$STAGE/again"; exit 1; } || echo "1 passed"
"""
FAILED = """
=================================== FAILURES ===================================
E   assert 1 == 2
=========================== short test summary info ============================
FAILED tests/test_it.py::test_that - assert 1 == 2
"""
SEEN = """
============================== secrets were seen ===============================
something like a token in the output of open
=========================== short test summary info ============================
"""


class Stage:
    """A clone in which `make` and the tests do as a file of their name says."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for path, text in (("bin/make", MAKE), ("clone/.venv/bin/python", AGAIN)):
            self.write(path, text).chmod(0o755)
        self.write("clone/.ci/run", "")
        shutil.copy(RUN, place / "clone/.ci/run")

    def write(self, path: str, text: str) -> Path:
        file = self.place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self) -> tuple[int, str]:
        """Exit code, and what stands after the last line of signs."""
        path = f"{self.place / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            (str(self.place / "clone/.ci/run"),),
            env={**os.environ, "PATH": path, "STAGE": str(self.place)},
            check=False,
            capture_output=True,
            text=True,
            timeout=50,
        )
        return done.returncode, done.stdout.rpartition("step by step =")[2]

    def lines(self, name: str) -> list[str]:
        return (self.place / name).read_text().splitlines()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_each_step_is_taken_in_turn_and_named(stage: Stage) -> None:
    code, end = stage.run()
    steps = ["packages", "setup", "check", "engines", "clients", "test", "test-engines"]
    assert code == 0
    assert stage.lines("made") == steps
    assert [line.split()[0] for line in end.splitlines()[1:]] == steps
    assert "--durations=25" in stage.lines("words")[-1]
    assert not (stage.place / "asked").exists()


def test_a_test_that_fails_once_is_named_at_the_end_and_is_no_failure(stage: Stage) -> None:
    stage.write("test", FAILED)
    code, end = stage.run()
    assert code == 0
    assert stage.lines("asked") == ["-m pytest --last-failed --last-failed-no-failures none"]
    assert "test: FAILED tests/test_it.py::test_that - assert 1 == 2" in end
    assert "test-again: FAILED" not in end
    assert stage.lines("made")[-1] == "test-engines"


def test_a_test_that_fails_alone_too_fails_the_run_and_says_why(stage: Stage) -> None:
    stage.write("test", FAILED)
    stage.write("again", FAILED)
    code, end = stage.run()
    assert code == 1
    assert "test-again: FAILED tests/test_it.py::test_that - assert 1 == 2" in end
    assert stage.lines("made")[-1] == "test-engines", "what else is broken is worth knowing"


def test_a_secret_that_was_seen_is_told_and_cannot_be_asked_again(stage: Stage) -> None:
    stage.write("test-engines", SEEN)
    stage.write("again", "no previously failed tests, deselecting all.\n")
    code, end = stage.run()
    assert code == 1
    assert "test-engines: secret: something like a token in the output of open" in end


def test_a_step_that_fails_before_the_tests_ends_the_run(stage: Stage) -> None:
    stage.write("check", "mypy: 1 error\n")
    code, end = stage.run()
    assert code == 1
    assert stage.lines("made") == ["packages", "setup", "check"]
    assert end.splitlines()[-1].split()[0] == "check"
    assert end.rstrip().endswith("exit code 2")
