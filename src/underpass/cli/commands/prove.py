"""``underpass prove``: run a proof now; the exit code says how it went."""

from __future__ import annotations

from typing import Any

import click

from underpass.api.client import Call
from underpass.api.discovery import Found, survey
from underpass.api.places import runtime_dir
from underpass.cli.options import json_option, optional_name_argument
from underpass.cli.streams import (
    StreamChoice,
    measure_streams,
    stream_options,
    verify_certificate,
)
from underpass.cli.terminal import json_line, result

PROOF_SECONDS = 40.0
"""Longer than a proof may take, so that the verdict and not the clock speaks."""

TRUST_SECONDS = 300.0
"""Six questions a path, each answered or given up within five seconds."""

EXIT_UNHEALTHY = 5


@click.command("prove", short_help="Prove a tunnel now, through its public door.")
@optional_name_argument
@json_option
@click.option("--trust", is_flag=True, help="Ask what the origin opens to who looks local.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="PATH",
    help="With --trust: a path to ask for; may be repeated. Default: usual ones.",
)
@stream_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str | None,
    as_json: bool,
    trust: bool,
    paths: tuple[str, ...],
    **streams: Any,
) -> None:
    """Prove a tunnel now, through its public door; exit code 5 when a layer fails.

    With --trust, compare what visitors get with what this machine's own programs get, path by
    path; exit code 5 when a path opens to visitors because they look local.

    With --stream, measure how the tunnel carries streams, against a measuring origin of its own:
    delays, silence, cancellation, large bodies, both ways. The numbers are a signed certificate;
    exit code 5 when a limit is not kept. --verify checks such a certificate.
    """
    if paths and not trust:
        raise click.UsageError("--path goes with --trust")
    wish = StreamChoice.read(name, trust=trust, **streams)
    if wish is not None and wish.verify is not None:
        is_well = verify_certificate(wish.verify, wish.key, as_json=as_json)
        ctx.exit(0 if is_well else EXIT_UNHEALTHY)
    if name is None:
        raise click.UsageError("missing argument 'NAME'")
    found = survey(runtime_dir()).pick(name)
    if wish is not None:
        is_well = measure_streams(found, wish, as_json=as_json)
        ctx.exit(0 if is_well else EXIT_UNHEALTHY)
    if trust:
        _examine_trust(ctx, found, paths, as_json=as_json)
        return
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


def _examine_trust(
    ctx: click.Context, found: Found, paths: tuple[str, ...], *, as_json: bool
) -> None:
    target = f"/v1/tunnels/{found.name}/trust"
    with Call(found.socket, "POST", target, {"paths": paths}, seconds=TRUST_SECONDS) as call:
        told = call.answer()
    if as_json:
        json_line(told)
    else:
        from underpass.cli.trust_page import trust_page

        result(trust_page(told))
    if not told["ok"]:
        ctx.exit(EXIT_UNHEALTHY)
