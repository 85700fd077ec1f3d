"""What the suite found about an engine is written down, with reasons, from several workers too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_outcomes_reasons_and_versions_are_written(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    chosen = "detected or garbage or wrong_credential or claim_about"
    subprocess.run(
        (
            *(sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"),
            *("tests/drivers/test_loopback.py", "-k", chosen, "--conformance", str(found)),
        ),
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=50,
    )
    engine = json.loads(found.read_text())["engines"]["loopback"]
    assert engine["version"] == ".".join(map(str, sys.version_info[:3]))
    assert engine["tests"] == {
        "test_it_is_detected_and_can_say_what_it_plans": {"outcome": "passed", "why": ""},
        "test_what_visitors_claim_about_themselves_never_arrives": {
            "outcome": "passed",
            "why": "",
        },
        "test_a_wrong_credential_is_told_as_such": {"outcome": "passed", "why": ""},
        "test_a_program_that_prints_garbage_is_refused_in_time": {
            "outcome": "skipped",
            "why": "no program carries it",
        },
    }


def test_a_suite_s_own_version_of_a_test_is_told_as_a_limit(tmp_path: Path) -> None:
    found, page = tmp_path / "found.json", tmp_path / "test_mine.py"
    page.write_text(OWN_VERSION)
    subprocess.run(
        (
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="),
            *("-p", "underpass.testing.driver_record", "-o", "asyncio_mode=auto"),
            *(str(page), "-k", "detected", "--conformance", str(found)),
        ),
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=50,
    )
    told = json.loads(found.read_text())["engines"]["mine"]["tests"]
    assert told == {
        "test_it_is_detected_and_can_say_what_it_plans": {
            "outcome": "limited",
            "why": "Only half of it.",
        }
    }


OWN_VERSION = """
import pytest
from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite

class Bench(DriverBench):
    engine = "mine"

class TestMine(DriverSuite):
    @pytest.fixture
    def bench(self, tmp_path):
        return Bench(tmp_path, tmp_path)

    async def test_it_is_detected_and_can_say_what_it_plans(self, bench):
        '''Only half of it.'''
"""
