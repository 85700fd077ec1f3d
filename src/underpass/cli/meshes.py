"""What ``mesh check`` and ``mesh recover`` share: their options, the look, and how it is told."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from underpass.cli.options import Decorated, json_option
from underpass.cli.terminal import table

if TYPE_CHECKING:
    from underpass.drivers.mesh import MendsMesh, MeshView, Step
    from underpass.drivers.plans import Site

EXIT_UNHEALTHY = 5


def mesh_options(function: Decorated) -> Decorated:
    """PEER…, ``--engine``, ``--socket``, ``--visit`` and ``--json``."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


def _only_http(ctx: click.Context, param: click.Parameter, urls: tuple[str, ...]) -> Any:
    for url in urls:
        try:
            parts = urlsplit(url)
            is_good = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
        except ValueError:
            is_good = False
        if not is_good or not url.isascii() or not url.isprintable() or " " in url:
            raise click.BadParameter(f"{url!r} is not http://HOST[:PORT][/PATH]", ctx, param)
    return urls


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("peers", metavar="[PEER]...", nargs=-1),
    click.option("--engine", default="tailscale", show_default=True, help="What carries it."),
    click.option(
        "--socket",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Where this node's daemon listens. Default: its usual place.",
    ),
    click.option(
        "--visit",
        "visits",
        multiple=True,
        metavar="URL",
        callback=_only_http,
        help="A program on a node that must answer: http://HOST[:PORT][/PATH]. Repeatable.",
    ),
    json_option,
)


def find_mesh(engine: str, socket: Path | None) -> tuple[MendsMesh, Site]:
    """The driver, and this machine as it sees it. Raises ``NoMesh``."""
    from underpass.drivers.mesh import MendsMesh, NoMesh
    from underpass.drivers.plans import Site
    from underpass.drivers.registry import load

    driver = load(engine)
    if not isinstance(driver, MendsMesh):
        raise NoMesh(engine)
    options = {} if socket is None else {"socket": str(socket.absolute())}
    place = Path(tempfile.gettempdir())
    return driver, Site("mesh", place, options=options, environment=dict(os.environ))


def view_object(view: MeshView) -> dict[str, Any]:
    """A view, for ``--json``."""
    return {
        "node": view.node,
        "ok": view.ok,
        "scope": view.scope,
        "findings": [
            {"subject": each.subject, "code": each.code, "detail": each.detail, "ok": each.ok}
            for each in view.findings
        ],
        "steps": [step_object(each) for each in view.steps],
    }


def step_object(step: Step) -> dict[str, Any]:
    """A step, for ``--json``."""
    return {
        "code": step.code,
        "subject": step.subject,
        "what": step.what,
        "command": list(step.command),
        "ours": step.is_ours,
    }


def view_page(view: MeshView) -> str:
    """What was found, for people."""
    rows = [
        ("ok" if each.ok else "FAULT", each.subject, each.code, each.detail)
        for each in view.findings
    ]
    scope = "all is well" if view.ok else f"at fault: {view.scope}"
    return f"seen from {view.node}; {scope}\n" + table(("", "WHO", "CODE", "WHAT"), rows)


def step_line(number: int, step: Step) -> str:
    """A step, for people."""
    who = "underpass does this" if step.is_ours else "somebody has to do this"
    words = f"\n     {' '.join(step.command)}" if step.command else ""
    return f"  {number}. {step.subject}: {step.what} ({who}){words}"
