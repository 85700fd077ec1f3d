"""``underpass mesh``: how a mesh of machines is, and mending it."""

from __future__ import annotations

import click

from underpass.cli.lazy import Entry, LazyGroup

_COMMANDS = {
    "check": Entry("underpass.cli.commands.mesh_check", "See whether all of a mesh answers."),
    "recover": Entry("underpass.cli.commands.mesh_recover", "Find what broke a mesh and mend it."),
}


@click.group("mesh", cls=LazyGroup, table=_COMMANDS, short_help="See how a mesh is; mend it.")
def command() -> None:
    """See how a mesh of machines is, as this one sees it; mend it."""
