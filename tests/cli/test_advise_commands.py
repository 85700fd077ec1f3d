"""Every command of ours that the advice prints is one that this program understands."""

from __future__ import annotations

import click
import pytest
from tests.decide.grid import our_words

from underpass.cli.commands.open import check_observation, chosen, declared, take_via
from underpass.cli.main import root
from underpass.model.spec import TunnelSpec

WORDS = our_words()


def parsed(words: tuple[str, ...]) -> click.Context:
    """The innermost context of a command line, with its parameters read and nothing run."""
    context, command, rest = None, root, list(words[1:])
    while isinstance(command, click.Group):
        name = rest.pop(0)
        inner = command.get_command(context, name)
        assert inner is not None, name
        command = inner
    return command.make_context(command.name, rest, parent=context)


@pytest.fixture(autouse=True)
def at_home_without_settings(at_home):
    """Nobody's files say more."""


def of(command: str) -> list[tuple[str, ...]]:
    return [words for words in WORDS if words[1] == command]


def test_the_grid_is_whole():
    commands = {words[1] for words in WORDS}
    assert commands == {"open", "close", "reach", "relay", "wg", "mesh", "requests", "changes"}
    assert len(WORDS) > 300


def test_every_command_parses():
    for words in WORDS:
        try:
            parsed(words)
        except click.ClickException as error:
            pytest.fail(f"{' '.join(words)}: {error.format_message()}")


def test_every_tunnel_that_is_advised_is_declared_whole():
    """Its gates, origin, name and lease keep all rules, and its options go together."""
    for words in of("open"):
        context = parsed(words)
        spec = spec_of(context)
        try:
            spec.validate()
        except Exception as error:
            pytest.fail(f"{' '.join(words)}: {error}")
        options = chosen(context.params, run=(), as_json=False)
        check_observation(options)
        assert (spec.tls == "passthrough") is (options.tls_cert is not None)
        assert (spec.tls == "passthrough") is (options.tls_key is not None)


def spec_of(context: click.Context) -> TunnelSpec:
    take_via(context.params)
    return declared(context.params)


def test_a_wrong_word_is_found():
    """The control: what is checked here can fail."""
    with pytest.raises(click.ClickException):
        parsed(("underpass", "open", "3001", "--gates", "bearer"))
    with pytest.raises(click.ClickException):
        parsed(("underpass", "wg", "rotate", "mesh.toml", "hub", "sideways"))
