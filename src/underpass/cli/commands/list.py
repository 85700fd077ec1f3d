"""``underpass list``: every tunnel that is open on this machine, ours or others'."""

from __future__ import annotations

import time

import click

from underpass.api.discovery import survey
from underpass.api.places import read_socket_name, runtime_dir
from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, prose, result

SCHEMA = "underpass/v1/list"


@click.command("list", short_help="List the tunnels open on this machine.")
@click.option(
    "--foreign",
    is_flag=True,
    help="List what others opened instead: ngrok, cloudflared, ssh -R, frpc, ….",
)
@json_option
def command(foreign: bool, as_json: bool) -> None:
    """List the tunnels open on this machine.

    Sockets whose process is gone are named, and left where they are. With --foreign: tunnels that
    were not opened with underpass, with what of them should worry somebody.
    """
    if foreign:
        from underpass.cli.foreigners import tell_foreign

        tell_foreign(as_json)
        return
    seen = survey(runtime_dir())
    if as_json:
        json_line(
            {
                "schema": SCHEMA,
                "tunnels": [{**found.tunnel, "socket": str(found.socket)} for found in seen.found],
                "stale": [str(path) for path in seen.stale],
                "silent": [str(path) for path in seen.silent],
            }
        )
        return
    if seen.found:
        from underpass.cli.shown import tunnels_table

        result(tunnels_table((found.tunnel for found in seen.found), time.time()))
    else:
        prose("no tunnel is open here")
    for path in seen.stale:
        name = read_socket_name(path)
        told = f"of {name.name} (process {name.pid}) " if name else ""
        prose(f"stale: the socket {told}has nobody behind it: rm {path}")
    for path in seen.silent:
        prose(f"silent: the process behind {path} does not answer")
