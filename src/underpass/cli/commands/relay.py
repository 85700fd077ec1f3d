"""``underpass relay``: the public side."""

from __future__ import annotations

import click

from underpass.cli.lazy import Entry, LazyGroup

_COMMANDS = {
    "serve": Entry("underpass.cli.commands.relay_serve", "Serve a relay until it is told to end."),
    "keys": Entry("underpass.cli.commands.relay_keys", "List and revoke connectors' keys."),
    "names": Entry("underpass.cli.commands.relay_names", "List, release and transfer names."),
}


@click.group(
    "relay",
    cls=LazyGroup,
    table=_COMMANDS,
    short_help="Serve a relay; manage its keys and names.",
)
def command() -> None:
    """Serve a relay; manage its keys and names."""
