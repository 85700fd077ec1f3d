"""``underpass watch``: a line for each change, until the tunnel is closed."""

from __future__ import annotations

import click

from underpass.api.client import Call
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir
from underpass.cli.options import json_option, name_argument
from underpass.cli.terminal import json_line, result
from underpass.model.errors_run import DaemonUnreachable


@click.command("watch", short_help="Watch a tunnel change, until it is closed.")
@name_argument
@json_option
def command(name: str, as_json: bool) -> None:
    """Watch a tunnel change, a line for each change, until it is closed."""
    found = survey(runtime_dir()).pick(name)
    event = ""
    with Call(found.socket, "GET", f"/v1/tunnels/{found.name}/events", seconds=None) as call:
        for change in call.lines():
            event = change["event"]
            if as_json:
                json_line(change)
            else:
                from underpass.cli.shown import change_line

                result(change_line(change))
    if event != "closed":
        # The stream broke off: its process was killed, and nobody closed the tunnel.
        raise DaemonUnreachable(str(found.socket))
