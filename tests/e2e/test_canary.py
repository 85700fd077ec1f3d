"""The suite's canary can see: a run in which a secret shows fails, and says where, not what."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.canary import PLACE

from underpass.guard.secrets import new_token

ROOT = Path(__file__).resolve().parents[2]

QUIET = """
def test_nothing_shows():
    print("up and running")
"""

LEAKY = """
import base64, subprocess, sys
from tests.canary import record_output, record_secret

def test_shows_a_token():
    print({token!r})

def test_passes_a_secret_on():
    # Known to this run alone: the run around it is not to be alarmed.
    record_secret("argument", "staple-of-a-battery")
    words = [sys.executable, "-c", "import time; time.sleep(1.5)", "staple-of-a-battery"]
    subprocess.run(words, check=True)

def test_records():
    record_secret("password", "correct-horse-battery")
    record_output("a log", base64.b64encode(b"ann:correct-horse-battery").decode())
"""


def run(directory: Path, source: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A suite of its own with the same plugin, from the same root."""
    file = directory / "test_inner.py"
    file.write_text(source)
    (directory / "pytest.ini").write_text("[pytest]\n")
    environment = {name: text for name, text in os.environ.items() if name != PLACE}
    inner = ("-p", "tests.canary", "-p", "no:cacheprovider", "-q", *words, str(file))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(directory / "pytest.ini"), *inner],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_run_without_a_sighting_passes(tmp_path: Path):
    done = run(tmp_path, QUIET)
    assert (done.returncode, "secrets were seen" in done.stdout) == (0, False), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_control_a_sighting_fails_the_run(tmp_path: Path, workers: tuple[str, ...]):
    token = new_token().reveal()
    done = run(tmp_path, LEAKY.format(token=token), *workers)
    assert done.returncode == 1, done.stdout
    assert "3 passed" in done.stdout
    for sighting in (
        " in the command line of process ",
        "something like a token in the test_inner.py::test_shows_a_token (Captured stdout call)",
        " in the output of a log",
    ):
        assert sighting in done.stdout
    assert token not in done.stdout  # where, not what
