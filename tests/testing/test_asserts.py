"""What the kit and the tests' own stages assert tells its values, though it stands in no test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.edges.bore import BoreServer

PAGE = """
from types import SimpleNamespace
from underpass.testing.driver_suite import url_of

def test_of_a_plug_in():
    url_of(SimpleNamespace(url=None))
"""


def run_page(directory: Path, *words: str) -> str:
    """What pytest prints of a plug-in's page, in a project of its own."""
    page = directory / "test_plug_in.py"
    page.write_text(PAGE)
    return subprocess.run(
        (*(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"), *words, str(page)),
        cwd=directory,
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    ).stdout


def test_asserts_of_the_kit_tell_a_plug_in_s_author_their_values(tmp_path: Path) -> None:
    assert "where None = namespace(url=None).url" in run_page(tmp_path)


def test_without_rewriting_they_do_not(tmp_path: Path) -> None:
    told = run_page(tmp_path, "--assert=plain")
    assert "AssertionError" in told
    assert "where None" not in told


def test_asserts_of_our_own_edges_tell_their_values(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="assert None is not None"):
        _ = BoreServer(tmp_path).pid
