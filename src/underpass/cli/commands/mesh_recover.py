"""``underpass mesh recover``: find what broke a mesh, mend it step by step, look after each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from underpass.cli.meshes import (
    EXIT_UNHEALTHY,
    find_mesh,
    mesh_options,
    step_line,
    step_object,
    view_object,
    view_page,
)
from underpass.cli.options import SecondsType
from underpass.cli.terminal import json_line, prose, result

if TYPE_CHECKING:
    from underpass.drivers.mesh import MendsMesh, MeshView, Step
    from underpass.drivers.plans import Site
    from underpass.guard.secrets import Secret

SCHEMA = "underpass/v1/mesh-recovery"

MOST_STEPS = 8
"""Of ours: each is taken once a node, so that nothing is tried for ever."""


@click.command("recover", short_help="Find what broke a mesh and mend it.")
@mesh_options
@click.option(
    "--auth-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Key with which this node signs in again; else the variable TS_AUTHKEY, else a browser.",
)
@click.option("--yes", is_flag=True, help="Take every step that can be taken without asking.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--wait",
    "seconds",
    type=SecondsType(bare=True),
    default="2m",
    show_default=True,
    help="How long one step may take.",
)
@click.pass_context
def command(
    ctx: click.Context,
    peers: tuple[str, ...],
    engine: str,
    socket: Path | None,
    visits: tuple[str, ...],
    as_json: bool,
    auth_key_file: Path | None,
    yes: bool,
    dry_run: bool,
    seconds: int,
) -> None:
    """Find what keeps this node and each PEER (all by default) apart, and mend it.

    First everything is looked at and each step is named: what it does, what it costs, who can do
    it. Then the steps that can be taken from here are taken, each after a question (--yes: without;
    with --json and no --yes nothing is done), and after each everything is looked at again. What
    only somebody there can do is said with the words to type. Exit code 5: it is not whole yet.
    """
    import asyncio

    from underpass.guard.secrets import Secret, read_secret

    driver, site = find_mesh(engine, socket)
    text = os.environ.get("TS_AUTHKEY", "")
    key = read_secret(auth_key_file) if auth_key_file else Secret(text) if text else None
    doing = Doing(driver, site, peers, visits, key, seconds)
    may = _permission(yes=yes, silent=dry_run or (as_json and not yes))
    before = asyncio.run(doing.look())
    if not as_json:
        result(view_page(before))
        _tell_steps(before)
    after = asyncio.run(doing.mend(before, may, prose))
    if as_json:
        json_line(
            {
                "schema": SCHEMA,
                "ok": after.ok,
                "before": view_object(before),
                "taken": doing.taken,
                "after": view_object(after),
            }
        )
    elif doing.taken:
        result("\n" + view_page(after))
        _tell_steps(after)
    if after.ok and not as_json:
        names = " ".join(peers)
        prose(f"to hear of it early, run this every few minutes: underpass mesh check {names}")
    if not after.ok:
        ctx.exit(EXIT_UNHEALTHY)


class Doing:
    """One recovery: what is looked at, and what was done so far."""

    def __init__(
        self,
        driver: MendsMesh,
        site: Site,
        peers: tuple[str, ...],
        visits: tuple[str, ...],
        key: Secret | None,
        seconds: float,
    ) -> None:
        self._driver = driver
        self._site = site
        self._peers = peers
        self._visits = visits
        self._key = key
        self._seconds = seconds
        self.taken: list[dict[str, Any]] = []
        """Steps that were taken, each with whether a look afterwards found it done."""

    async def look(self) -> MeshView:
        """See how everything is now."""
        return await self._driver.look_at_mesh(self._site, self._peers, self._visits)

    async def mend(
        self, view: MeshView, may: Callable[[Step], bool], say: Callable[[str], None]
    ) -> MeshView:
        """Take steps until it is whole or nothing is left that we can do; the last view."""
        tried: set[tuple[str, str]] = set()
        while len(tried) < MOST_STEPS:
            step = next(
                (it for it in view.steps if it.is_ours and (it.code, it.subject) not in tried), None
            )
            if step is None:
                return view
            tried.add((step.code, step.subject))
            if not may(step):
                continue
            say(f"{step.subject}: {step.what} …")
            await self._driver.mend(step, self._site, key=self._key, seconds=self._seconds, say=say)
            view = await self.look()
            # Looked at, not believed: the step is done when nobody asks for it any more.
            done = all((it.code, it.subject) != (step.code, step.subject) for it in view.steps)
            self.taken.append({**step_object(step), "verified": done})
            say("done, as a look shows" if done else "it did not help")
        return view


def _permission(*, yes: bool, silent: bool) -> Callable[[Step], bool]:
    """Who says whether a step may be taken."""
    if silent:
        return lambda step: False
    if yes:
        return lambda step: True
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: give --yes or --dry-run")
    return lambda step: click.confirm(f"{step.subject}: {step.what}?", err=True)


def _tell_steps(view: MeshView) -> None:
    if view.steps:
        result("what to do:")
        for number, step in enumerate(view.steps, 1):
            result(step_line(number, step))
