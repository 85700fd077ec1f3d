"""``underpass mesh check``: see whether a mesh is whole, and change nothing."""

from __future__ import annotations

from pathlib import Path

import click

from underpass.cli.meshes import EXIT_UNHEALTHY, find_mesh, mesh_options, view_object, view_page
from underpass.cli.terminal import json_line, result

SCHEMA = "underpass/v1/mesh"


@click.command("check", short_help="See whether all of a mesh answers.")
@mesh_options
@click.pass_context
def command(
    ctx: click.Context,
    peers: tuple[str, ...],
    engine: str,
    socket: Path | None,
    visits: tuple[str, ...],
    as_json: bool,
) -> None:
    """See whether this node and each PEER (all of them by default) answer; exit code 5 if not.

    Made to be run every few minutes: it changes nothing, and is silent on stderr.
    """
    import asyncio

    driver, site = find_mesh(engine, socket)
    view = asyncio.run(driver.look_at_mesh(site, peers, visits))
    if as_json:
        json_line({"schema": SCHEMA, **view_object(view)})
    else:
        result(view_page(view))
    if not view.ok:
        ctx.exit(EXIT_UNHEALTHY)
