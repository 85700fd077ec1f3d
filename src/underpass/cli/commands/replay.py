"""``underpass replay``: send a recorded request to the origin once more, and compare."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from typing import Any

import click

from underpass.api.client import Call
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir
from underpass.cli.commands.requests import captures_path
from underpass.cli.looked import difference, page
from underpass.cli.options import PairType, SecondsType, json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.observe.errors import ReplayImpossible, ReplayUnconfirmed
from underpass.observe.looking import Captures
from underpass.observe.record import exchange_object
from underpass.observe.redaction import WORD
from underpass.observe.replay_text import (
    SAFE_METHODS,
    ReplayRequest,
    read_text,
    recorded_request,
    with_headers,
    write_text,
)

SCHEMA = "underpass/v1/replay"


class HeaderType(PairType):
    """``NAME: VALUE``; an empty value removes the field."""

    name = "NAME:VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, colon, rest = str(value).partition(":")
        if not key.strip() or not colon:
            self.fail("a header is NAME: VALUE", param, ctx)
        return key.strip(), rest.strip()


@click.command("replay", short_help="Send a recorded request to the origin once more.")
@click.argument("key", metavar="ID")
@click.option("--edit", is_flag=True, help="Change it in $EDITOR first.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    type=HeaderType(),
    help="Set a header; without a value, remove it. Repeatable.",
)
@click.option("--yes", is_flag=True, help="Do not ask before what may do its work twice.")
@click.option(
    "--timeout",
    type=SecondsType(bare=True),
    default="30s",
    show_default=True,
    help="Until the answer must be complete.",
)
@json_option
def command(
    key: str,
    edit: bool,
    headers: tuple[tuple[str, str], ...],
    yes: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Send the recorded request with ID to the origin once more, as the owner: past the gates.

    The origin learns of it by the header Underpass-Replay. Secrets that were taken out of the
    recording are not sent: put them in with --edit or --header. The answer is compared with the
    first one.
    """
    with Captures(captures_path()) as captures:
        outline, messages = captures.find(key)
    before = exchange_object(outline, messages)
    request = with_headers(recorded_request(outline, messages, edited=edit), headers)
    if edit:
        request = _edited(request, outline.key)
    tunnel = survey(runtime_dir()).pick(outline.tunnel)
    request = _without_redacted(request, outline.key)
    _confirm(request, outline.key, yes=yes, as_json=as_json)
    wish = {
        "of": outline.key,
        "method": request.method.decode("latin-1"),
        "target": request.target.decode("utf-8", "surrogateescape"),
        "host": request.host.decode("latin-1"),
        "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in request.headers],
        "body": base64.b64encode(request.body).decode(),
        "seconds": float(timeout),
    }
    target = f"/v1/tunnels/{tunnel.name}/replay"
    with Call(tunnel.socket, "POST", target, wish, seconds=timeout + 5.0) as call:
        after = call.answer()
    _tell(before, after, as_json=as_json)


def _edited(request: ReplayRequest, key: str) -> ReplayRequest:
    notes = [
        f"The request {key}, to be sent once more. Save and close to send it; save an",
        "empty file to send nothing. Where [redacted] stands, nothing is sent.",
    ]
    # As bytes: to text an end of line is added, which would be one more byte of the body.
    edited = click.edit(write_text(request, notes), extension=".http", require_save=False)
    if edited is None or not edited.strip():
        raise click.Abort
    return read_text(edited)


def _without_redacted(request: ReplayRequest, key: str) -> ReplayRequest:
    """``request`` without what stands for secrets; says what is missing. Raises
    ``ReplayImpossible`` where nothing can be left out."""
    places = request.redacted
    if "body" in places:
        raise ReplayImpossible(key, "secrets were taken out of its body")
    if WORD in request.target.partition(b"?")[0]:
        raise ReplayImpossible(key, "a secret was taken out of its path")
    if places:
        prose(f"without secrets that were not recorded: {', '.join(places)}")
    return request.without_redacted()


def _confirm(request: ReplayRequest, key: str, *, yes: bool, as_json: bool) -> None:
    method = request.method.decode("latin-1")
    if yes or method.upper() in SAFE_METHODS:
        return
    if as_json or not sys.stdin.isatty():
        raise ReplayUnconfirmed(key, method)
    question = f"{method} may do its work twice. Send it again?"
    if not click.confirm(question, default=False, err=True):
        raise ReplayUnconfirmed(key, method)


def _tell(before: Mapping[str, Any], after: Mapping[str, Any], *, as_json: bool) -> None:
    changes = difference(before, after)
    if as_json:
        json_line({"schema": SCHEMA, "before": before, "after": after, "differences": changes})
        return
    result(page(after))
    result("")
    result("\n".join(changes) if changes else "the answer is the same as the first")
