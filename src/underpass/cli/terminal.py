"""Writing to the terminal: results to stdout, prose to stderr, colour only where it is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click


def colour_wish(environ: Mapping[str, str]) -> bool | None:
    """Whether the environment forbids or demands colour; None: as the stream is a terminal.

    https://no-color.org, https://force-color.org; a set variable counts when it is not empty.
    """
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return True if environ.get("FORCE_COLOR") else None


def result(text: str) -> None:
    """One or more lines of what was asked for."""
    click.echo(text)


def prose(text: str) -> None:
    """What a person may like to know besides."""
    click.echo(text, err=True)


def json_line(facts: object) -> None:
    """One object on one line, out at once."""
    click.echo(json.dumps(facts, ensure_ascii=False, separators=(",", ":")))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be, two spaces apart, no spaces at the ends of lines."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Indented ``name  value`` lines, the values aligned."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"  {name.ljust(width)}  {value}" for name, value in pairs)
