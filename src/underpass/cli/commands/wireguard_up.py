"""``underpass wg up``: taking part in a network, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from underpass.cli.options import json_option
from underpass.cli.topologies import file_argument, keys_option


@click.command("up", short_help="Take part as HOST until told to end.")
@file_argument
@click.argument("host")
@keys_option
@click.option("--interface", help="Its name. Default: upw- and the network's.")
@click.option("--listen", type=click.IntRange(0, 65_535), help="UDP port. Default: the topology's.")
@click.option("--netns", help="Network namespace for the interface and its rules.")
@click.option(
    "--mode", type=click.Choice(("auto", "kernel", "wireguard-go")), default="auto", help="By what."
)
@click.option("--open", "unguarded", is_flag=True, help="Let other hosts reach all ports here.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **params: Any) -> None:
    """Take part in the network of FILE as HOST, until Ctrl-C or SIGTERM.

    The interface is made, kept, and removed again. FILE and the keys are followed while it runs:
    hosts come and go, keys are replaced. Nothing but pings, answers and the witness's port comes in
    by it, unless --open. Each neighbour's state is told when it changes.
    """
    from underpass.cli.membership import take_part
    from underpass.cli.running import run

    file: Path = params["file"]
    options = {"topology": str(file), "host": params["host"], "mode": params["mode"]}
    for key in ("keys", "interface", "netns"):
        if params[key]:
            options[key] = str(params[key])
    if params["listen"] is not None:
        options["listen"] = str(params["listen"])
    ctx.exit(run(take_part(options, guarded=not params["unguarded"], as_json=as_json)))
