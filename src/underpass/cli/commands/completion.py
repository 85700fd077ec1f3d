"""``underpass completion``: the script that makes a shell complete our commands."""

from __future__ import annotations

import click

from underpass.cli.terminal import result


@click.command("completion", short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: commands, options, tunnels, engines and gates.

    \b
    bash  echo 'source <(underpass completion bash)' >> ~/.bashrc
    zsh   echo 'source <(underpass completion zsh)' >> ~/.zshrc
          after the line with compinit
    fish  underpass completion fish > ~/.config/fish/completions/underpass.fish
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None
    root = ctx.find_root()
    result(completion(root.command, {}, "underpass", "_UNDERPASS_COMPLETE").source())
