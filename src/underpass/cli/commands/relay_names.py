"""``underpass relay names``: whose the names of this relay are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from underpass.cli.lazy import Group
from underpass.cli.options import json_option
from underpass.cli.registry import find_key, state_option, with_registry
from underpass.cli.terminal import json_line, prose, result, table
from underpass.relay.server.key_text import fingerprint
from underpass.relay.server.names import release_name, transfer_name
from underpass.relay.server.registry import NameRecord, Registry

SCHEMA = "underpass/v1/relay-names"


@click.group("names", cls=Group, short_help="List, release and transfer names.")
def command() -> None:
    """List, release and transfer names."""


@command.command("list")
@state_option
@json_option
def list_names(state: Path | None, as_json: bool) -> None:
    """List all names, with their owners and leases."""
    names = with_registry(state, lambda registry: registry.names())
    if as_json:
        json_line({"schema": SCHEMA, "names": [_name_object(record) for record in names]})
    elif names:
        from underpass.cli.shown import moment

        rows = [
            (
                record.name,
                fingerprint(record.key),
                str(record.epoch),
                "-" if record.port is None else str(record.port),
                moment(record.lease_end) if record.terms else "-",
            )
            for record in names
        ]
        result(table(("NAME", "KEY", "EPOCH", "PORT", "LEASE ENDS"), rows))
    else:
        prose("no name is taken")


@command.command("release")
@click.argument("name")
@state_option
@json_option
def release(name: str, state: Path | None, as_json: bool) -> None:
    """Give a name up: anybody may claim it then. A running tunnel under it ends."""
    with_registry(state, lambda registry: release_name(registry, name))
    if as_json:
        json_line({"schema": SCHEMA, "released": name})
    else:
        result(f"{name} is released")


@command.command("transfer")
@click.argument("name")
@click.option("--to", "key", required=True, metavar="KEY", help="Key, fingerprint or label.")
@state_option
@json_option
def transfer(name: str, key: str, state: Path | None, as_json: bool) -> None:
    """Give a name to another enrolled key. A running tunnel under it ends."""

    async def work(registry: Registry) -> NameRecord:
        heir = await find_key(registry, key)
        return await transfer_name(registry, name, heir.public)

    given = with_registry(state, work)
    if as_json:
        json_line({"schema": SCHEMA, "names": [_name_object(given)]})
    else:
        result(f"{name} belongs to {fingerprint(given.key)}")


def _name_object(record: NameRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "key": fingerprint(record.key),
        "chosen": record.chosen,
        "epoch": record.epoch,
        "port": record.port,
        "lease_ends_at": record.lease_end if record.terms else None,
    }
