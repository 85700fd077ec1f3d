"""Groups of commands; lazy ones know names and one-line helps, and import what runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from underpass.model.nearest import or_nearest


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of a group."""

    where: str
    """Module that has it as ``command``."""
    help: str
    """One line, as the group's help shows it; the same as the command's own short help."""


class Group(click.Group):
    """A group that answers what there is, and what a mistyped command was meant to be."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            # A question rather than a mistake: what is there?
            click.echo(ctx.get_help(), err=True, color=ctx.color)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        known = self.list_commands(ctx)
        if word not in known and word[:1].isalnum() and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command {word!r}{or_nearest(word, known)}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
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
