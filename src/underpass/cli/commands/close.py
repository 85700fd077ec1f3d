"""``underpass close``: end a tunnel and wait until its process has let go of it."""

from __future__ import annotations

import click

from underpass.api.client import Call, wait_gone
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir
from underpass.cli.options import json_option, name_argument
from underpass.cli.terminal import json_line, result

CLOSE_SECONDS = 45.0
"""Exchanges in flight have their grace of 30 s."""


@click.command("close", short_help="Close a tunnel.")
@name_argument
@json_option
def command(name: str, as_json: bool) -> None:
    """Close a tunnel. Returns when its name leads nowhere and its process has let go of it."""
    found = survey(runtime_dir()).pick(name)
    target = f"/v1/tunnels/{found.name}/close"
    with Call(found.socket, "POST", target, seconds=CLOSE_SECONDS) as call:
        closed = call.answer()
    wait_gone(found.socket, CLOSE_SECONDS)
    if as_json:
        json_line(closed)
    else:
        result(f"{found.name} is closed")
