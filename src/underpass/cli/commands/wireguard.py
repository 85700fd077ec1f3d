"""``underpass wg``: networks of hosts by WireGuard, from one topology file."""

from __future__ import annotations

import click

from underpass.cli.lazy import Entry, LazyGroup

_KEYS = "underpass.cli.commands.wireguard_keys"
_COMMANDS = {
    "example": Entry("underpass.cli.commands.wireguard_example", "Print a topology to begin with."),
    "show": Entry("underpass.cli.commands.wireguard_show", "Show who meets whom, and the keys."),
    "keys": Entry(_KEYS, "Make the keys that are missing."),
    "rotate": Entry("underpass.cli.commands.wireguard_rotate", "Replace a key, step by step."),
    "config": Entry("underpass.cli.commands.wireguard_config", "Write files for wg-quick."),
    "pack": Entry("underpass.cli.commands.wireguard_pack", "Gather what one machine needs."),
    "up": Entry("underpass.cli.commands.wireguard_up", "Take part as HOST until told to end."),
    "status": Entry("underpass.cli.commands.wireguard_status", "Ask each neighbour, and judge."),
    "witness": Entry(
        "underpass.cli.commands.wireguard_witness", "Dial back for neighbours' proofs."
    ),
}


@click.group(
    "wg",
    cls=LazyGroup,
    table=_COMMANDS,
    short_help="Make and keep networks of hosts by WireGuard.",
)
def command() -> None:
    """Make and keep networks of hosts by WireGuard, from one topology file."""
