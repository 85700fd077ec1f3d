"""``underpass prove``: run a proof now; the exit code says how it went."""

from __future__ import annotations

import click

from underpass.api.client import Call
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir
from underpass.cli.options import json_option, name_argument
from underpass.cli.terminal import json_line, result

PROOF_SECONDS = 40.0
"""Longer than a proof may take, so that the verdict and not the clock speaks."""

EXIT_UNHEALTHY = 5


@click.command("prove", short_help="Prove a tunnel now, through its public door.")
@name_argument
@json_option
@click.pass_context
def command(ctx: click.Context, name: str, as_json: bool) -> None:
    """Prove a tunnel now, through its public door; exit code 5 when a layer fails."""
    found = survey(runtime_dir()).pick(name)
    target = f"/v1/tunnels/{found.name}/prove"
    with Call(found.socket, "POST", target, seconds=PROOF_SECONDS) as call:
        proved = call.answer()
    if as_json:
        json_line(proved)
    else:
        from underpass.cli.shown import verdict_page

        result(f"{found.name} is {proved['tunnel']['state']}\n{verdict_page(proved['verdict'])}")
    if not proved["verdict"]["ok"]:
        ctx.exit(EXIT_UNHEALTHY)
