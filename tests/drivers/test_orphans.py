"""What a killed process left is ended and removed by the next; what lives is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from underpass.drivers.orphans import OWNER, PROGRAM, claim, note_program, sweep

DEAD = {"pid": 2**22 - 3, "started": 1.0}


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A directory whose owner has died."""
    directory = tmp_path / "engine-left"
    directory.mkdir()
    (directory / OWNER).write_text(json.dumps(DEAD))
    (directory / "ssh.conf").write_text("Host hop-0\n")
    return directory


def test_a_program_and_a_directory_without_owner_go(left: Path, tmp_path: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", "input()"], start_new_session=True)
    note_program(left, program.pid)
    assert sweep(tmp_path) == [f"ended {program.pid}", "removed engine-left"]
    assert program.wait(timeout=10) == -9
    assert not left.exists()
    assert sweep(tmp_path) == []


def test_an_id_that_came_again_is_somebody_else(left: Path, tmp_path: Path) -> None:
    started = psutil.Process().create_time() - 100
    (left / PROGRAM).write_text(json.dumps({"pid": os.getpid(), "started": started}))
    assert sweep(tmp_path) == ["removed engine-left"]


def test_what_lives_and_what_is_not_ours_to_judge_stays(tmp_path: Path) -> None:
    for name in ("engine-mine", "engine-no-record", "relay-x"):
        (tmp_path / name).mkdir()
    claim(tmp_path / "engine-mine")
    (tmp_path / "relay-x" / OWNER).write_text(json.dumps(DEAD))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / OWNER).write_text(json.dumps(DEAD))
    (tmp_path / "engine-link").symlink_to(tmp_path / "elsewhere")
    assert sweep(tmp_path) == []


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"pid": "x", "started": 0}', "\0"])
def test_a_broken_record_of_a_program_kills_nobody(left: Path, tmp_path: Path, record: str) -> None:
    (left / PROGRAM).write_text(record)
    assert sweep(tmp_path) == ["removed engine-left"]
