"""``underpass show``: one tunnel, its newest verdict, and what the relay's operator can see."""

from __future__ import annotations

import time
from collections.abc import Mapping

import click

from underpass.api.client import Call
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir
from underpass.cli.options import json_option, name_argument
from underpass.cli.terminal import json_line, result


@click.command("show", short_help="Show one tunnel and its newest verdict.")
@name_argument
@json_option
def command(name: str, as_json: bool) -> None:
    """Show one tunnel and its newest verdict. NAME may also be its URL."""
    found = survey(runtime_dir()).pick(name)
    with Call(found.socket, "GET", f"/v1/tunnels/{found.name}") as call:
        shown = call.answer()
    if as_json:
        json_line(shown)
        return
    with Call(found.socket, "GET", f"/v1/tunnels/{found.name}/reach") as call:
        carriage = call.answer()
    from underpass.cli.shown import tunnel_page

    notes = operator_notes(shown["tunnel"]["kind"], carriage)
    result(tunnel_page(shown["tunnel"], shown["verdict"], time.time(), notes))


def operator_notes(kind: str, carriage: Mapping[str, object]) -> list[str]:
    """What whoever runs the relay could do, in words; nothing where the relay is our own."""
    relay, tls = carriage["relay"], carriage.get("tls")
    if carriage.get("embedded"):
        return ["  relay   in this process: nobody else sees what passes"]
    if tls == "passthrough":
        return [
            f"  relay   {relay}: visitors' TLS ends here, so its operator can only refuse,",
            "          delay and misreport addresses",
        ]
    credential = "a visitor's token" if kind == "tcp" else "what passes, credentials included"
    return [
        f"  relay   {relay}: TLS ends there, so its operator could read",
        f"          and replay {credential},",
        "          and is believed for visitors' addresses",
    ]
