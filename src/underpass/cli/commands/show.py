"""``underpass show``: one tunnel, its newest verdict, and what the relay's operator can see."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

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

    notes = [*meter_notes(shown.get("meter")), *operator_notes(shown["tunnel"]["kind"], carriage)]
    result(tunnel_page(shown["tunnel"], shown["verdict"], time.time(), notes))


def meter_notes(meter: Mapping[str, Any] | None) -> list[str]:
    """What the tunnel has carried, and how near it is to its quotas."""
    if meter is None:
        return []
    from underpass.cli.looked import size

    carried = f"{meter['requests']} requests, {size(meter['bytes_up'])} up, "
    notes = [f"  meter   {carried}{size(meter['bytes_down'])} down"]
    if meter["p50_ms"] is not None:
        notes.append(f"          first byte within {meter['p50_ms']:g} ms (half), ")
        notes[-1] += f"{meter['p99_ms']:g} ms (99 %)"
    for quota in meter["quotas"]:
        share = quota["used"] / quota["limit"]
        alarm = " (!)" if share >= 0.8 else ""
        whose = "" if quota["whose"] == "own" else f" of {quota['whose']}"
        said = f"{quota['used']} of {quota['limit']} {quota['what']}{whose}"
        notes.append(f"  quota   {said}, {share:.0%}{alarm}")
    notes += [
        f"  limit   {limit['says']} ({limit['whose']}, {limit['as_of']}): not counted here"
        for limit in meter.get("uncounted", ())
    ]
    if meter["dropped"]:
        notes.append(f"  record  {meter['dropped']} exchanges were not recorded")
    return notes


def operator_notes(kind: str, carriage: Mapping[str, Any]) -> list[str]:
    """What whoever runs the relay could do, in words; for another engine, what its plan says."""
    relay, tls = carriage["relay"], carriage.get("tls")
    if relay is None:
        told = [carriage.get("visitors", ""), *carriage.get("limits", ())]
        return [f"  {'way' if at == 0 else '':<8}{line}" for at, line in enumerate(told) if line]
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
