"""``underpass approve``: who asks to be let in by an oauth gate, and the owner's answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from underpass.api.client import Call
from underpass.api.discovery import Found, survey
from underpass.api.places import runtime_dir
from underpass.cli.options import json_option
from underpass.cli.terminal import facts, json_line, prose, result, table
from underpass.guard.oauth.codes import plain_code
from underpass.guard.oauth.errors import NoSuchSignIn
from underpass.model.errors import UnderpassError

SCHEMA = "underpass/v1/sign-ins"


@click.command("approve", short_help="List or decide sign-ins that wait for you.")
@click.argument("code", required=False)
@click.option("--deny", is_flag=True, help="Turn it away instead.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@json_option
def command(code: str | None, deny: bool, yes: bool, as_json: bool) -> None:
    """List the sign-ins that wait before oauth gates, or approve the one with CODE.

    The list has half of each code; the browser of whoever wants in shows all of it. Approve only
    what you, or somebody you know, began just now: the program gets to call what is behind the
    tunnel until the lease ends. For --deny half a code is enough.
    """
    waiting = list(_waiting())
    if code is None:
        _tell(waiting, as_json=as_json)
        return
    half = plain_code(code)[:4]
    for found, sign_in in waiting:
        if plain_code(str(sign_in["code"])) != half:
            continue
        if not (yes or as_json) and sys.stdin.isatty():
            prose(_page(found, sign_in))
            click.confirm("turn it away?" if deny else "let it in?", abort=True, err=True)
        decided = _decide(found, plain_code(code), approve=not deny)
        if decided is not None:
            break
    else:
        raise NoSuchSignIn(code)
    if as_json:
        json_line(decided)
        return
    verdict = "is turned away from" if deny else "may come into"
    result(f"{_quoted(sign_in['client'])} {verdict} {found.name}")


def _waiting() -> Iterator[tuple[Found, dict[str, Any]]]:
    """Every sign-in that waits on this machine, with its tunnel."""
    for found in survey(runtime_dir()).found:
        if not any("oauth" in str(gate) for gate in found.tunnel.get("gates", ())):
            continue
        try:
            with Call(found.socket, "GET", f"/v1/tunnels/{found.name}/sign-ins") as call:
                answer = call.answer()
        except UnderpassError:
            continue  # it has closed since it was seen
        for sign_in in answer["sign_ins"]:
            yield found, sign_in


def _decide(found: Found, code: str, *, approve: bool) -> dict[str, Any] | None:
    """The owner's word on one sign-in; None: its code is another."""
    body = {"code": code, "approve": approve}
    try:
        with Call(found.socket, "POST", f"/v1/tunnels/{found.name}/sign-ins", body) as call:
            decided: dict[str, Any] = call.answer()
            return decided
    except UnderpassError as error:
        if error.code != NoSuchSignIn.code:
            raise
        return None


def _tell(waiting: list[tuple[Found, dict[str, Any]]], *, as_json: bool) -> None:
    if as_json:
        shown = [{"tunnel": found.name, **sign_in} for found, sign_in in waiting]
        json_line({"schema": SCHEMA, "sign_ins": shown})
    elif waiting:
        rows = [
            (
                str(sign_in["code"]),
                found.name,
                _quoted(sign_in["client"]),
                str(sign_in["answer_to"]),
                str(sign_in["address"] or "-"),
                f"{sign_in['expires_in']}s",
            )
            for found, sign_in in waiting
        ]
        result(table(("CODE", "TUNNEL", "CLIENT", "ANSWER TO", "FROM", "ENDS IN"), rows))
    else:
        prose("nobody asks to be let in")


def _page(found: Found, sign_in: dict[str, Any]) -> str:
    vouched = sign_in["client_origin"] == "document"
    pairs = [
        ("client", _quoted(sign_in["client"])),
        ("known by", str(sign_in["client_id"]) if vouched else "its own word only"),
        ("wants in", f"{found.name} ({found.tunnel.get('url')})"),
        ("answer to", str(sign_in["answer_to"])),
        ("browser at", str(sign_in["address"] or "an address that nobody vouches for")),
    ]
    return f"{sign_in['code']}\n{facts(pairs)}"


def _quoted(name: object) -> str:
    # A stranger's words: quoted, so that they are not taken for ours, with nothing but ASCII.
    return json.dumps(str(name))
