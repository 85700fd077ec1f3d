"""``underpass wg pack``: what one machine needs, and no other's private key."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.cli.topologies import SCHEMA, file_argument, keys_option, load_network


@click.command("pack", short_help="Gather what one machine needs.")
@file_argument
@click.argument("host")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@keys_option
@json_option
def command(file: Path, host: str, target: Path, keys: Path | None, as_json: bool) -> None:
    """Gather in DIR the topology, the private key of HOST, and everybody's public keys."""
    from underpass.guard.private_files import private_directory, write_private

    topology, keyring = load_network(file, keys)
    topology.host(host)
    private_directory(target)
    files = keyring.pack(host, target / f"{file.stem}.keys")
    write_private(target / file.name, file.read_bytes())
    if as_json:
        json_line({"schema": SCHEMA, "host": host, "directory": str(target), "keys": files})
        return
    result(str(target))
    prose(f"it holds the private key of {host}: bring it there and remove it here")
