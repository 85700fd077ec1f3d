"""``underpass wg keys``: the keys of a network."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.cli.topologies import SCHEMA, file_argument, keys_option, load_network


@click.command("keys", short_help="Make the keys that are missing.")
@file_argument
@keys_option
@click.option("--host", "hosts", multiple=True, help="Only for this host; may be repeated.")
@json_option
def command(file: Path, keys: Path | None, hosts: tuple[str, ...], as_json: bool) -> None:
    """Make the keys that FILE needs and that are not there, and print the public ones.

    Hosts with a public-key in FILE have theirs elsewhere. Private keys are written to 0600 files
    and never shown.
    """
    _, keyring = load_network(file, keys)
    made = keyring.make(hosts or None)
    public = {name: keyring.public(name).current for name in made}
    if as_json:
        json_line({"schema": SCHEMA, "directory": str(keyring.directory), "made": public})
    elif public:
        for name, key in public.items():
            result(f"{name} {key}")
        prose(f"private keys are in {keyring.directory}")
    else:
        prose("every key is there")
