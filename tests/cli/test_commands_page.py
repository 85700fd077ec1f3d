"""What the page about commands says is so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import underpass as package
from underpass.cli.main import main, root

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
TABLE = PAGE[PAGE.index("## What `--json` prints") : PAGE.index("## `open --json`")]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in TABLE.splitlines()
    if line.startswith("| `")
]
WITHIN = {"tunnels", "reach-info", "requests", "stream", "proof", "link"}
"""Of the API between our own processes and of the wire: no command prints them."""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(root))


def test_every_command_takes_json_but_those_that_print_a_file():
    without = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in param.opts for param in command.params)
    }
    assert without <= {"completion", "wg example"}


def test_every_command_is_on_the_page():
    listed = PAGE[: PAGE.index("## Places")]
    for name, entry in root.table.items():
        assert re.search(rf"`{name}\b", listed), name
        assert entry.help


def test_every_schema_is_in_the_table_and_none_besides():
    source = Path(package.__file__).parent
    text = "\n".join(path.read_text() for path in source.rglob("*.py"))
    made = set(re.findall(r'"underpass/v1/([a-z-]+)"', text)) | {"advice-compact"}
    told = {schema for row in ROWS for schema in re.findall(r"`([a-z-]+)`", row[1])}
    assert told == made - WITHIN


@pytest.mark.parametrize(
    ("words", "row"),
    [
        ("list", "`list`"),
        ("list --foreign", "`list --foreign`"),
        ("changes 3001 --engine relay", "`changes`"),
        ("advise 3001", "`advise`"),
        ("errors", "`errors`"),
        ("approve", "`approve`"),
    ],
)
def test_an_object_has_the_keys_that_the_table_names(words, row, at_home, capsys):
    (_, schemas, keys), *others = [each for each in ROWS if each[0] == row]
    assert others == []
    assert main([*words.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("schema") == f"underpass/v1/{schemas.split('`')[1]}"
    outer = re.sub(r"\(.*?\)", "", keys.partition(";")[0])
    assert list(told) == re.findall(r"`([a-z_]+)`", outer)
