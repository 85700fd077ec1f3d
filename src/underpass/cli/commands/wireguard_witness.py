"""``underpass wg witness``: the far host's part in proofs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.topologies import file_argument, keys_option


@click.command("witness", short_help="Dial back for neighbours' proofs.")
@file_argument
@click.argument("host")
@keys_option
@click.option("--netns", default="", help="Network namespace of the interface.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, /, file: Path, host: str, keys: Path | None, netns: str, as_json: bool
) -> None:
    """Dial back whoever asks at HOST's tunnel address, until told to end.

    For an interface that something else brought up, wg-quick for one. `underpass wg up` does it by
    itself. Only the asker's own address is dialled.
    """
    from underpass.cli.membership import be_witness
    from underpass.cli.running import run

    options = {"topology": str(file), "host": host}
    if keys is not None:
        options["keys"] = str(keys)
    if netns:
        options["netns"] = netns
    ctx.exit(run(be_witness(options, as_json=as_json)))
