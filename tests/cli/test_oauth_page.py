"""The commands on the page about OAuth are commands that are taken."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from underpass.cli.commands.open import chosen, command, declared, take_via

PAGE = Path(__file__).resolve().parents[2] / "docs" / "oauth.md"
LINES = re.findall(r"^\$ underpass open ((?:.*\\\n)*.*)", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_is_taken(line: str, at_home: Path):
    words = shlex.split(line.replace("\\\n", " "))
    with command.make_context("open", words) as ctx:
        params = {name: value for name, value in ctx.params.items() if name != "as_json"}
        take_via(params)
        spec = declared(params)
        spec.validate()
        assert "oauth" in [gate.kind for gate in spec.every_gate]
        options = chosen(params, run=(), as_json=False)
    assert bool(options.oauth.provider) == ("--oauth-provider" in line)


def test_there_are_several():
    assert len(LINES) >= 4
