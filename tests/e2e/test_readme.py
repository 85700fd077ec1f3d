"""Every command of the README and of the documentation is one that is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from underpass.cli.main import root

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCES = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Lines that begin with ``underpass``, several commands on one line taken apart."""
    found = []
    for page in PAGES:
        for line in "\n".join(FENCES.findall(page.read_text())).splitlines():
            text = re.split("  #| > ", line)[0].strip().removeprefix("$ ")
            if text.startswith("underpass ") and not ELLIPTIC.search(text):
                parts = text.removeprefix("underpass ").split(" · ")
                found += (part.strip().removeprefix("underpass ") for part in parts)
    return list(dict.fromkeys(found))


ELLIPTIC = re.compile(r"…|\[|\\$|\||<")
# Lines that show a form and not a command: with something left out, or to be chosen.


def test_there_are_commands_to_look_at():
    assert len(commands()) >= 60


@pytest.mark.parametrize("line", commands())
def test_command_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every word is parsed by the real command line; what it does is shown by the other tests."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    group: click.Command = root
    ctx = click.Context(root)
    while isinstance(group, click.Group):
        found = group.get_command(ctx, words.pop(0))
        assert found is not None, line
        group = found
    made = group.make_context(line, words)
    assert made.command is group


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets
    assert {"setup", "demo", "test", "check", "lint", "fix", "bench", "engines", "docs"} <= targets


def test_linked_pages_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).is_file(), target


def test_tests_that_pages_name_exist():
    named = {
        name for page in PAGES for name in re.findall(r"`(tests/[\w./]+?)/?`", page.read_text())
    }
    assert len(named) >= 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_exit_codes_that_the_unit_does_not_restart_are_those_nothing_mends():
    """Usage, an absent name, a refusal, a conflict: see the table of commands."""
    unit = (ROOT / "docs" / "examples.md").read_text()
    assert re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE) == ["2 3 4 9"]
    table = (ROOT / "docs" / "commands.md").read_text()
    for told in ("2 usage", "3 no such tunnel", "4 refused by policy or gate", "9 conflict"):
        assert told in table.replace("\n", " ")
