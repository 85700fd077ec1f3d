"""``underpass wg status``: how a host's neighbours are, seen from an interface that is up."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.topologies import file_argument, keys_option


@click.command("status", short_help="Ask each neighbour, and judge.")
@file_argument
@click.argument("host")
@keys_option
@click.option("--interface", default="", help="Its name. Default: upw- and the network's.")
@click.option("--netns", default="", help="Network namespace of the interface.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    host: str,
    keys: Path | None,
    interface: str,
    netns: str,
    as_json: bool,
) -> None:
    """Ask each neighbour of HOST inside the tunnel, for twenty seconds at most, and judge.

    For any interface, whoever brought it up. Ends with 5 unless all are live.
    """
    from underpass.cli.neighbours import tell_status
    from underpass.cli.running import run

    options = {"topology": str(file), "host": host}
    for key, value in (("keys", keys), ("interface", interface), ("netns", netns)):
        if value:
            options[key] = str(value)
    ctx.exit(run(tell_status(options, as_json=as_json)))
