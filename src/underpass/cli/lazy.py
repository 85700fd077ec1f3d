"""Groups that know the names and one-line helps of their commands, and import one when it runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of a group."""

    where: str
    """Module that has it as ``command``."""
    help: str
    """One line, as the group's help shows it; the same as the command's own short help."""


class LazyGroup(click.Group):
    """A group whose commands are in a table."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (entry := self.table.get(cmd_name)) is None:
            return None
        command: click.Command = importlib.import_module(entry.where).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])
