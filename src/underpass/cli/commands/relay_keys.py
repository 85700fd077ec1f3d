"""``underpass relay keys``: which connectors may link to this relay."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from underpass.cli.lazy import Group
from underpass.cli.options import json_option
from underpass.cli.registry import find_key, key_object, state_option, with_registry
from underpass.cli.terminal import json_line, prose, result, table
from underpass.relay.server.key_text import fingerprint
from underpass.relay.server.registry import KeyRecord, Registry

SCHEMA = "underpass/v1/relay-keys"


@click.group("keys", cls=Group, short_help="List and revoke connectors' keys.")
def command() -> None:
    """List and revoke the keys of connectors."""


@command.command("list")
@state_option
@json_option
def list_keys(state: Path | None, as_json: bool) -> None:
    """List all keys, revoked ones too, in the order of their enrolment."""

    async def work(registry: Registry) -> list[tuple[KeyRecord, int]]:
        return [(key, len(await registry.names(key.public))) for key in await registry.keys()]

    keys = with_registry(state, work)
    if as_json:
        json_line(
            {
                "schema": SCHEMA,
                "keys": [{**key_object(key), "names": names} for key, names in keys],
            }
        )
    elif keys:
        from underpass.cli.shown import moment

        rows = [
            (
                fingerprint(key.public),
                key.label or "-",
                str(names),
                moment(key.enrolled_at),
                "-" if key.revoked_at is None else moment(key.revoked_at),
            )
            for key, names in keys
        ]
        result(table(("KEY", "LABEL", "NAMES", "ENROLLED", "REVOKED"), rows))
    else:
        prose("no key is enrolled")


@command.command("revoke")
@click.argument("key", metavar="KEY")
@state_option
@json_option
def revoke(key: str, state: Path | None, as_json: bool) -> None:
    """Revoke a key, given whole, by fingerprint or by label.

    Its links are cut within seconds. Its names stay its own: transfer or release them.
    """

    async def work(registry: Registry) -> KeyRecord:
        record = await find_key(registry, key)
        if record.revoked_at is None:
            record = replace(record, revoked_at=time.time())
            await registry.put_key(record)
        return record

    revoked = with_registry(state, work)
    if as_json:
        json_line({"schema": SCHEMA, "keys": [key_object(revoked)]})
    else:
        result(f"{fingerprint(revoked.public)} is revoked")
