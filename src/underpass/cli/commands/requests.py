"""``underpass requests``: what visitors asked and what they got, newest last.

    underpass requests NAME         list them
    underpass requests show ID      one of them, whole

A tunnel named ``show`` is listed by ``underpass requests -- show``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from underpass.api.client import Call
from underpass.api.discovery import survey
from underpass.api.places import runtime_dir, state_dir
from underpass.cli.looked import COLUMNS, line, page, row
from underpass.cli.options import complete_tunnel, json_option
from underpass.cli.terminal import json_line, prose, result, table
from underpass.model.errors_run import DaemonUnreachable
from underpass.observe.filters import Test, earliest, parse_filters
from underpass.observe.looking import Captures
from underpass.observe.record import Outline, exchange_object, outline_object, parse_id
from underpass.observe.schema import FILE

MOST = 50

FILTERS = """\b
A filter is NAME=VALUE, or NAME!=VALUE for the opposite; all must hold:
  method=GET,POST    status=404 or 4xx or 200-299    path=/api/*
  outcome=complete, broken, denied, answered, open   gate=bearer
  code=origin-away   kind=http, events, websocket, upgrade, tcp, reach
  visitor=203.0.113.7 or an identity                 since=15m
  slower=500ms       larger=1MB"""


@click.command(
    "requests",
    short_help="List the recorded requests of a tunnel; show one.",
    epilog=FILTERS,
)
@click.argument(
    "words",
    metavar="NAME | show ID",
    nargs=-1,
    required=True,
    shell_complete=complete_tunnel,
)
@click.option("--filter", "filters", multiple=True, metavar="EXPR", help="Only those; repeatable.")
@click.option(
    "--most", type=click.IntRange(1, 10_000), default=MOST, show_default=True, help="So many."
)
@click.option("--follow", is_flag=True, help="Go on with those that come.")
@json_option
def command(
    words: tuple[str, ...], filters: tuple[str, ...], most: int, follow: bool, as_json: bool
) -> None:
    """List the recorded requests of the tunnel NAME, or show the one with ID, secrets left out.

    ID may be cut at its beginning to its last four letters or more. What was recorded can be
    looked into after the tunnel is closed, too.
    """
    if len(words) == 2 and words[0] == "show":
        _show(words[1], as_json=as_json)
        return
    if len(words) != 1:
        raise click.UsageError("there is one NAME, or show and one ID")
    name, now = words[0], time.time()
    matches = parse_filters(filters, now=now)
    if follow:
        _follow(name, filters, matches, most, as_json=as_json)
        return
    with Captures(captures_path()) as captures:
        found = captures.newest(name, most=most, since=earliest(filters, now=now), matches=matches)
        is_known = bool(found) or bool(captures.newest(name, most=1))
    if not is_known:
        # Open and never asked for anything, or not there at all: then this says so.
        survey(runtime_dir()).pick(name)
    if as_json:
        for outline in found:
            json_line(outline_object(outline))
        return
    if found:
        _tell(found)
    else:
        which = "such request" if is_known else "request"
        prose(f"no {which} of {name} is recorded")


def captures_path() -> Path:
    """Where exchanges are recorded."""
    return state_dir() / FILE


def _show(key: str, *, as_json: bool) -> None:
    with Captures(captures_path()) as captures:
        shown = exchange_object(*captures.find(key))
    if as_json:
        json_line(shown)
    else:
        result(page(shown))


def _tell(found: list[Outline]) -> None:
    rows = [row(outline_object(outline)) for outline in found]
    if not sys.stdout.isatty():
        result(table(COLUMNS, rows))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        shown.add_column(name, no_wrap=name != "TARGET", overflow="fold")
    for outline, cells in zip(found, rows, strict=True):
        shown.add_row(*map(_escaped, cells), style=_style(outline))
    Console().print(shown)


def _follow(
    name: str, filters: tuple[str, ...], matches: Test, most: int, *, as_json: bool
) -> None:
    found = survey(runtime_dir()).pick(name)
    told: set[str] = set()

    def tell(exchange: dict[str, Any]) -> None:
        if as_json:
            json_line(exchange)
        else:
            result(line(exchange))

    target = f"/v1/tunnels/{found.name}/requests"
    with Call(found.socket, "GET", target, seconds=None) as call:
        coming = call.lines()
        next(coming, None)
        with Captures(captures_path()) as captures:
            since = earliest(filters, now=time.time())
            for outline in captures.newest(found.name, most=most, since=since, matches=matches):
                told.add(outline.key)
                tell(outline_object(outline))
        for exchange in coming:
            if exchange.get("event") == "ended":
                return
            # One that was written down between the two, and one that went on, come twice.
            is_old = exchange["id"] in told and exchange["outcome"] != "open"
            told.discard(exchange["id"])
            if not is_old and matches(outline_of(exchange)):
                tell(exchange)
    # It broke off: the process was killed.
    raise DaemonUnreachable(str(found.socket))


def outline_of(exchange: dict[str, Any]) -> Outline:
    """The outline that a JSON object says."""
    given = {key: value for key, value in exchange.items() if key in Outline.__struct_fields__}
    return Outline(**{**given, "id": parse_id(exchange["id"]) or 0})


def _style(outline: Outline) -> str:
    if outline.outcome in ("broken", "denied") or outline.status >= 500:
        return "red"
    return "yellow" if outline.status >= 400 else ""


def _escaped(cell: str) -> str:
    return cell.replace("[", r"\[")
