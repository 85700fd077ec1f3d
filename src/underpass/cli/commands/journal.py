"""``underpass journal``: what was allowed against advice, by whom and why, and what was refused."""

from __future__ import annotations

import time

import click

from underpass.api.places import state_dir
from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.observe.journal import FILE, MOST, Entry, Journal


@click.command("journal", short_help="List what was allowed or refused, and why.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=MOST, show_default=True, help="So many."
)
@json_option
def command(most: int, as_json: bool) -> None:
    """List what preflight found and refused, and what was opened all the same, with the reason.

    The newest is last. Entries are never changed or deleted.
    """
    entries = Journal(state_dir() / FILE).newest(most)
    if as_json:
        for entry in entries:
            json_line(entry.to_dict())
        return
    if not entries:
        prose("the journal is empty")
    for entry in entries:
        result(page(entry))


def page(entry: Entry) -> str:
    """One entry in a few lines."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
    lines = [f"{when}  {entry.what}  {entry.who}", f"  tunnel   {entry.tunnel}"]
    if entry.reason:
        lines.append(f"  reason   {entry.reason}")
    lines += [
        f"  finding  {each['code']}: {each['where']}; {each['seen']}" for each in entry.findings
    ]
    return "\n".join(lines)
