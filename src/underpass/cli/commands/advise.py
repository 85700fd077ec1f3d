"""``underpass advise``: which engine fits a need, with commands and their undo."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import click

from underpass.cli.options import Decorated, SecondsType, json_option
from underpass.cli.terminal import json_line, prose, result
from underpass.decide.here import Here, Left, Measured
from underpass.decide.need import Audience, Auth, Names, Need, Task, Traffic, Visitor
from underpass.decide.quotas import Quotas, parse_quotas
from underpass.model.origin import parse_origin

DEFAULT_TOP = 3

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
# No leading hyphen anywhere: ssh would read it as an option.
_VIA = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?")


class SizeType(click.ParamType[int]):
    """Bytes as people write them: ``500``, ``20MB``, ``4GiB``."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _SIZE.fullmatch(str(value))
        if match is None or match.group(2).upper() not in _UNITS:
            self.fail(f"{value!r} is not a size such as 20MB or 4GiB", param, ctx)
        return int(match.group(1)) * _UNITS[match.group(2).upper()]


class LastingType(SecondsType):
    """A duration, or ``permanent``, which is -1."""

    name = "DURATION|permanent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return -1 if value == "permanent" else super().convert(value, param, ctx)


def _choice(of: type[Any]) -> click.Choice[str]:
    return click.Choice([one.value for one in of])


def _flag(name: str, text: str) -> Any:
    return click.option(name, is_flag=True, help=text)


_OPTIONS = (
    click.option("--task", type=_choice(Task), help="What is to be done. Default: expose."),
    click.option(
        "--for",
        "lasting",
        type=LastingType(),
        metavar="DURATION|permanent",
        default="8h",
        show_default=True,
        help="How long.",
    ),
    click.option("--public/--private", "public", default=None, help="Who may dial, gates aside."),
    click.option("--traffic", type=_choice(Traffic), help="What passes. Default: by ORIGIN."),
    click.option("--visitor", type=_choice(Visitor), help="The kind of visitor."),
    click.option("--auth", type=_choice(Auth), help="How visitors show who they are."),
    click.option("--payload", type=SizeType(), default=0, help="The largest body."),
    click.option("--monthly", type=SizeType(), default=0, help="What goes out in a month."),
    click.option("--requests", type=click.IntRange(0), default=0, help="Requests in a month."),
    click.option(
        "--silence", type=SecondsType(bare=True), help="The longest silence of an answer."
    ),
    click.option("--machines", type=click.IntRange(1), default=1, help="More than one: a fleet."),
    _flag("--streaming", "Answers must arrive as they are produced."),
    _flag("--resumable", "Exchanges must outlive a lost link."),
    _flag("--persistent", "It must come back by itself."),
    _flag("--unattended", "Nobody is there to log in."),
    _flag("--database", "What is reached or exposed is a database."),
    _flag("--whole-network", "All ports of the machines."),
    _flag("--own-domain", "Under a domain of yours; --hostname implies it."),
    _flag("--stable-name", "The address must stay."),
    _flag("--inspect", "Requests are to be looked at."),
    _flag("--demo", "To be shown, not to be relied on."),
    _flag("--no-third-party", "Nobody else may carry or broker it."),
    _flag("--no-install", "Nothing may be installed."),
    _flag("--no-signup", "No account may be made."),
    _flag("--free", "It must cost nothing."),
    click.option("--own-server/--no-own-server", default=None, help="A server others can dial."),
    click.option("--ssh-login/--no-ssh-login", default=None, help="A login by SSH on the way."),
    click.option("--left", multiple=True, metavar="QUOTA=N", help="What is left of a quota."),
    click.option(
        "--measured", multiple=True, metavar="ENGINE=ok|failing", help="How an engine lately was."
    ),
    click.option("--hostname", default="", help="The public name, for the commands."),
    click.option(
        "--via", default="", metavar="[USER@]HOST", help="The SSH host, for the commands."
    ),
    click.option("--relay", default="", metavar="URL", help="Your relay, for the commands."),
    click.option(
        "--top", type=click.IntRange(1), default=DEFAULT_TOP, show_default=True, help="How many."
    ),
    _flag("--for-agent", "Print the best answers as compact JSON."),
)


def _options(function: Decorated) -> Decorated:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("advise", short_help="Say which engine fits a need, and how.")
@click.argument("origin", metavar="[ORIGIN]", required=False)
@_options
@json_option
def command(origin: str | None, for_agent: bool, as_json: bool, top: int, **params: Any) -> None:
    """Say which engine fits a need, and why, with its limits, its commands and their undo.

    ORIGIN, as `underpass open` has it, fills the commands in; with --task reach it is the far
    service. What is here is found by asking the engines' drivers and the tunnels that are open
    here; nobody outside this machine is asked. An answer may be that no tunnel should be used.
    """
    from datetime import UTC, datetime

    from underpass.cli.commands.advise_here import look
    from underpass.decide import told
    from underpass.decide.advice import advise

    quotas = shipped_quotas()
    need = needed(origin, params)
    here = _completed(look(os.environ, quotas, _note), params, quotas)
    advice = advise(need, here, quotas, datetime.now(UTC).date())
    if for_agent:
        json_line(told.compact_object(advice, top))
    elif as_json:
        json_line(told.whole_object(advice))
    else:
        result(told.text(advice, top))
        for caution in advice.cautions:
            _note(caution)


def _note(said: str) -> None:
    prose(f"note: {said}")


def shipped_quotas() -> Quotas:
    """The quotas of the data file that comes with the package."""
    from importlib.resources import files

    return parse_quotas((files("underpass.decide") / "quotas.toml").read_text("utf-8"))


def needed(origin_text: str | None, params: dict[str, Any]) -> Need:
    """The need that the parameters say, with what follows from it left out by the asker."""
    origin = parse_origin(origin_text) if origin_text else None
    fleet = params["machines"] > 1
    task = Task(params["task"] or (Task.FLEET if fleet else Task.EXPOSE))
    public = params["public"]
    if public is None:
        public = task not in (Task.REACH, Task.FLEET)
    return Need(
        task=task,
        traffic=_traffic(params, task, origin.kind.value if origin else ""),
        audience=Audience.PUBLIC if public else Audience.PRIVATE,
        seconds=None if params["lasting"] == -1 else params["lasting"],
        visitor=Visitor(params["visitor"]) if params["visitor"] else None,
        auth=Auth(params["auth"]) if params["auth"] else None,
        own_domain=params["own_domain"] or bool(params["hostname"]),
        stable_name=params["stable_name"],
        streaming=params["streaming"],
        silence_seconds=params["silence"] or 0,
        payload_bytes=params["payload"],
        monthly_bytes=params["monthly"],
        monthly_requests=params["requests"],
        machines=params["machines"],
        database=params["database"],
        no_third_party=params["no_third_party"],
        inspect=params["inspect"],
        no_install=params["no_install"],
        no_signup=params["no_signup"],
        free=params["free"],
        demo=params["demo"],
        persistent=params["persistent"],
        whole_network=params["whole_network"],
        resumable=params["resumable"],
        unattended=params["unattended"],
        names=Names(
            origin,
            _checked("hostname", params["hostname"], _HOST),
            _checked("via", params["via"], _VIA),
            _relay(params["relay"]),
        ),
    )


def _traffic(params: dict[str, Any], task: Task, of_origin: str) -> Traffic:
    if params["traffic"]:
        return Traffic(params["traffic"])
    if params["database"] or (task is Task.REACH and not of_origin):
        return Traffic.TCP
    return Traffic(of_origin or Traffic.HTTP)


def _checked(option: str, value: str, grammar: re.Pattern[str]) -> str:
    if value and not grammar.fullmatch(value):
        raise click.BadParameter(f"{value[:80]!r} is not of its form", param_hint=f"--{option}")
    return value


def _relay(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not _VIA.fullmatch(parts.netloc)):
        raise click.BadParameter("it is no http or https URL", param_hint="--relay")
    return f"{parts.scheme}://{parts.netloc}" if url else ""


def _completed(here: Here, params: dict[str, Any], quotas: Quotas) -> Here:
    """What was found, and what the asker knows besides."""
    own = params["own_server"]
    login = params["ssh_login"]
    return replace(
        here,
        own_server=own if own is not None else (True if params["relay"] else here.own_server),
        ssh_login=login if login is not None else (True if params["via"] else None),
        # What is said counts before what was found.
        left=(*(_left(text, quotas) for text in params["left"]), *here.left),
        measured=(*here.measured, *(_measured(text) for text in params["measured"])),
    )


def _left(text: str, quotas: Quotas) -> Left:
    quota, _, amount = text.partition("=")
    known = [fact.id for fact in quotas.facts if fact.amount is not None]
    if quota not in known or not (amount.isascii() and amount.isdigit() and len(amount) <= 15):
        hint = f"{text[:80]!r} is not QUOTA=N with a quota of {', '.join(known)}"
        raise click.BadParameter(hint, param_hint="--left")
    return Left(quota, int(amount))


def _measured(text: str) -> Measured:
    from underpass.decide.ways import WAYS

    engine, _, state = text.partition("=")
    known = dict.fromkeys(way.engine for way in WAYS)
    if engine not in known or state not in ("ok", "failing"):
        hint = f"{text[:80]!r} is not ENGINE=ok or ENGINE=failing, of {', '.join(known)}"
        raise click.BadParameter(hint, param_hint="--measured")
    return Measured(engine, state == "ok")
