"""``underpass wg show``: a topology, as it is understood."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.options import json_option
from underpass.cli.terminal import json_line, result, table
from underpass.cli.topologies import SCHEMA, file_argument, keys_option, load_network


@click.command("show", short_help="Show who meets whom, and the keys.")
@file_argument
@keys_option
@json_option
def command(file: Path, keys: Path | None, as_json: bool) -> None:
    """Show the hosts of FILE: addresses, endpoints, neighbours and public keys."""
    from underpass.drivers.wireguard.errors import KeyMissing

    topology, keyring = load_network(file, keys)
    rows = []
    for host in topology.hosts.values():
        try:
            known = keyring.public(host.name)
            key, following = known.current, known.following
        except KeyMissing:
            key, following = "", ()
        rows.append(
            {
                "host": host.name,
                "address": str(host.address),
                "endpoint": None if host.endpoint is None else str(host.endpoint),
                "meets": list(topology.neighbours(host.name)),
                "forwards": topology.forwards(host.name),
                "public_key": key or None,
                "next_public_key": following[0] if following else None,
            }
        )
    if as_json:
        network = {"name": topology.name, "shape": topology.shape, "subnet": str(topology.subnet)}
        json_line({"schema": SCHEMA, "network": network, "hosts": rows})
        return
    result(
        table(
            ("HOST", "ADDRESS", "ENDPOINT", "MEETS", "PUBLIC KEY"),
            [
                (
                    str(row["host"]),
                    str(row["address"]),
                    str(row["endpoint"] or "-"),
                    ",".join(topology.neighbours(str(row["host"]))),
                    str(row["public_key"] or "-"),
                )
                for row in rows
            ],
        )
    )
