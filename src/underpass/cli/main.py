"""The root of the command line, and the one place where errors become output and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from underpass import __version__
from underpass.cli.lazy import Entry, LazyGroup
from underpass.cli.terminal import colour_wish
from underpass.model.errors import UnderpassError

_COMMANDS = {
    "open": Entry("underpass.cli.commands.open", "Open a tunnel to ORIGIN and keep it open."),
    "list": Entry("underpass.cli.commands.list", "List the tunnels open on this machine."),
    "show": Entry("underpass.cli.commands.show", "Show one tunnel and its newest verdict."),
    "prove": Entry("underpass.cli.commands.prove", "Prove a tunnel now, through its public door."),
    "watch": Entry("underpass.cli.commands.watch", "Watch a tunnel change, until it is closed."),
    "approve": Entry(
        "underpass.cli.commands.approve", "List or decide sign-ins that wait for you."
    ),
    "requests": Entry(
        "underpass.cli.commands.requests", "List the recorded requests of a tunnel; show one."
    ),
    "replay": Entry(
        "underpass.cli.commands.replay", "Send a recorded request to the origin once more."
    ),
    "journal": Entry(
        "underpass.cli.commands.journal", "List what was allowed or refused, and why."
    ),
    "renew": Entry("underpass.cli.commands.renew", "Move the end of a tunnel's lease."),
    "close": Entry("underpass.cli.commands.close", "Close a tunnel."),
    "reach": Entry(
        "underpass.cli.commands.reach",
        "Make a gated tcp tunnel, or a service behind a host, local.",
    ),
    "relay": Entry("underpass.cli.commands.relay", "Serve a relay; manage its keys and names."),
    "wg": Entry(
        "underpass.cli.commands.wireguard", "Make and keep networks of hosts by WireGuard."
    ),
    "mesh": Entry("underpass.cli.commands.mesh", "See how a mesh is; mend it."),
    "changes": Entry(
        "underpass.cli.commands.changes", "Tell what opening would change at an engine's vendor."
    ),
    "advise": Entry("underpass.cli.commands.advise", "Say which engine fits a need, and how."),
    "errors": Entry("underpass.cli.commands.errors", "Explain error codes."),
    "completion": Entry("underpass.cli.commands.completion", "Print a shell's completion script."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="underpass", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Open, guard, watch, prove and close tunnels.

    Results go to stdout, everything else to stderr; --json makes both fit for programs.
    """
    ctx.color = colour_wish(os.environ)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code. What goes wrong is reported, not raised."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        code = root.main(words, prog_name="underpass", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Exception as error:
        from underpass.cli.failure import explain, has_lost_reader, report

        if has_lost_reader(error):
            # Who read our results has enough (``underpass list | head -1``). Python would
            # complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return report(explain(error), as_json=_wants_json(words), environ=os.environ)
    return code if isinstance(code, int) else 0


def _wants_json(words: Sequence[str]) -> bool:
    # From the words, since the command may not have understood them.
    ours = words[: words.index("--")] if "--" in words else words
    return "--json" in ours or "--for-agent" in ours


__all__ = ["UnderpassError", "main", "root"]
