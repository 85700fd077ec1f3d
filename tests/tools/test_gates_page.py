"""The page on gates: its table is what the drivers say, and its examples are commands."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from underpass.model.gate_arguments import SCHEMES
from underpass.model.gates import GATE_KINDS
from underpass.model.spec import parse_spec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gates.md").read_text()


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gates_table", ROOT / "tools" / "gates_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_up_to_date(tool: ModuleType) -> None:
    assert tool.filled(PAGE) == PAGE


def test_what_an_engine_cannot_carry_is_refused_there(tool: ModuleType) -> None:
    rows = {row.split(" | ")[0].strip("| `"): row for row in tool.table().splitlines()[2:]}
    assert "refused" not in rows["relay"]
    assert rows["bore"].count("refused") == 4
    assert rows["ssh-service"].count("refused") == 4


COMMANDS = re.findall(r"^underpass open (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_on_the_page_is_whole(line: str) -> None:
    spec = parse_spec(line)
    spec.validate()
    assert shlex.split(str(spec))


def test_every_gate_and_scheme_is_on_the_page() -> None:
    assert len(COMMANDS) >= 9
    for kind in GATE_KINDS:
        assert f"| `{kind}" in PAGE
    for scheme, variable in SCHEMES.items():
        assert f"| `{scheme}`" in PAGE
        assert f"`env:{variable}`" in PAGE
