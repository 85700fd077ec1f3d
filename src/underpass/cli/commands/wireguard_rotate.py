"""``underpass wg rotate``: another key for one host, without an outage."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.cli.topologies import SCHEMA, file_argument, keys_option, load_network

_NEXT = {
    "stage": "bring {public} to its neighbours, into their keys' directory; then: switch",
    "switch": "its neighbours follow its first handshake; when all have: finish, here and there",
    "finish": "the old key is forgotten",
}


@click.command("rotate", short_help="Replace a key, step by step.")
@file_argument
@click.argument("host")
@click.argument("step", type=click.Choice(tuple(_NEXT)))
@keys_option
@json_option
def command(file: Path, host: str, step: str, keys: Path | None, as_json: bool) -> None:
    """Replace the key of HOST in three steps, during which traffic goes on.

    stage makes the new key; its public half must reach the neighbours. switch lets it take over: a
    running `underpass wg up` or tunnel does so at once, and its neighbours follow by themselves.
    finish forgets the old one, here and at every neighbour.
    """
    topology, keyring = load_network(file, keys)
    topology.host(host)
    public = None
    if step == "stage":
        public = keyring.stage(host)
    elif step == "switch":
        public = keyring.switch(host)
    else:
        keyring.finish(host)
    if as_json:
        json_line({"schema": SCHEMA, "host": host, "step": step, "public_key": public})
        return
    if public is not None:
        result(f"{host} {public}")
    prose(_NEXT[step].format(public=keyring.directory / f"{host}.next.pub"))
