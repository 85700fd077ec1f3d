"""``underpass completion``: the script that makes a shell complete our commands."""

from __future__ import annotations

import click

from underpass.cli.terminal import result


@click.command("completion", short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    In bash: source <(underpass completion bash)
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None
    root = ctx.find_root()
    result(completion(root.command, {}, "underpass", "_UNDERPASS_COMPLETE").source())
