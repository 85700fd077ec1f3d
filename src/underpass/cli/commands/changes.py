"""``underpass changes``: what opening a tunnel would change at its engine's vendor."""

from __future__ import annotations

import click

from underpass.cli.options import PairType, complete_engine, json_option
from underpass.cli.terminal import json_line, result

SCHEMA = "underpass/v1/changes"


@click.command("changes", short_help="Tell what opening would change at an engine's vendor.")
@click.argument("origin", metavar="ORIGIN")
@click.option(
    "--engine",
    required=True,
    metavar="ENGINE",
    shell_complete=complete_engine,
    help="What would carry it.",
)
@click.option(
    "--engine-option",
    "options",
    multiple=True,
    type=PairType(),
    help="As for open; may be repeated.",
)
@json_option
def command(origin: str, engine: str, options: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """Tell what opening a tunnel to ORIGIN would change at the vendor of its engine.

    Nothing is opened, and nothing is changed.
    """
    import asyncio

    found = asyncio.run(find_changes(origin, engine, options))
    if as_json:
        json_line({"schema": SCHEMA, "engine": engine, "changes": list(found)})
    else:
        result("\n".join(found) if found else f"{engine} would change nothing but this machine")


async def find_changes(
    origin: str, engine: str, options: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    """The changes, a line each; () for an engine that makes none."""
    import os
    import tempfile
    from pathlib import Path

    from underpass.assembly.engines import options_by_engine
    from underpass.drivers.base import ShowsChanges
    from underpass.drivers.plans import Site
    from underpass.drivers.registry import load
    from underpass.model.spec import TunnelSpec, parse_origin

    driver = load(engine)
    site = Site(
        "changes",
        Path(tempfile.gettempdir()),
        options=options_by_engine((engine,), dict(options))[engine],
        environment=dict(os.environ),
    )
    if not isinstance(driver, ShowsChanges):
        return ()
    return await driver.changes(TunnelSpec(parse_origin(origin), engines=(engine,)), site)
