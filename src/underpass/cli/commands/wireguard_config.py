"""``underpass wg config``: files for wg-quick, where underpass itself does not run."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.cli.topologies import SCHEMA, file_argument, keys_option, load_network


@click.command("config", short_help="Write files for wg-quick.")
@file_argument
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where HOST.conf is written, 0600: it holds the private key.",
)
@keys_option
@json_option
def command(
    file: Path, hosts: tuple[str, ...], out: Path, keys: Path | None, as_json: bool
) -> None:
    """Write HOST.conf for each HOST, all when none is named, as `wg-quick up` takes it.

    A host behind such a file is reachable on all its ports: nothing guards its interface.
    """
    from underpass.drivers.wireguard.configs import wanted_device, wg_quick_file
    from underpass.guard.private_files import private_directory, write_private

    topology, keyring = load_network(file, keys)
    private_directory(out)
    written = []
    for name in hosts or tuple(topology.hosts):
        device = wanted_device(topology, keyring, name)
        path = out / f"{name}.conf"
        write_private(path, wg_quick_file(topology, name, device).encode())
        written.append(str(path))
    if as_json:
        json_line({"schema": SCHEMA, "written": written})
        return
    for path_text in written:
        result(path_text)
    prose("each holds a private key: bring it to its host and remove it here")
