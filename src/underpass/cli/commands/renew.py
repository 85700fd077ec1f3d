"""``underpass renew``: the lease ends so long from now."""

from __future__ import annotations

import time

import click

from underpass.api.client import Call
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir
from underpass.cli.options import SecondsType, json_option, name_argument
from underpass.cli.terminal import json_line, result


@click.command("renew", short_help="Move the end of a tunnel's lease.")
@name_argument
@click.option("--for", "seconds", type=SecondsType(), required=True, help="From now, as in 2h.")
@json_option
def command(name: str, seconds: int, as_json: bool) -> None:
    """Move the end of a tunnel's lease to so long from now."""
    found = survey(runtime_dir()).pick(name)
    target = f"/v1/tunnels/{found.name}/renew"
    with Call(found.socket, "POST", target, {"seconds": seconds}, seconds=15.0) as call:
        renewed = call.answer()
    if as_json:
        json_line(renewed)
    else:
        from underpass.cli.shown import lease

        result(f"{found.name} is open {lease(renewed['tunnel']['lease'], time.time())}")
