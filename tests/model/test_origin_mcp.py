"""Origins that speak the Model Context Protocol: over HTTP, a Unix socket, or stdin and stdout."""

from __future__ import annotations

import pytest

from underpass.model.errors_spec import OptionConflict, OriginMalformed
from underpass.model.origin import Kind, as_mcp, parse_origin


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("mcp+stdio:server", ("server",)),
        ("MCP+STDIO:npx -y some-server", ("npx", "-y", "some-server")),
        ("mcp+stdio:'/opt/my server' --db 'a b.sqlite'", ("/opt/my server", "--db", "a b.sqlite")),
        ("mcp+stdio:run a@b?c#d http://x/", ("run", "a@b?c#d", "http://x/")),
        ("mcp+stdio:sh -c 'a | b; $C'", ("sh", "-c", "a | b; $C")),
        ("mcp+stdio:run ''", ("run", "")),
    ],
)
def test_a_command_is_a_list_of_words(text: str, command: tuple[str, ...]):
    origin = parse_origin(text)
    assert (origin.kind, origin.command, str(origin)) == (Kind.MCP, command, text)
    assert not origin.is_unix


def test_a_command_is_named_by_its_program_alone():
    assert parse_origin("mcp+stdio:/opt/bin/server --token secret").address == "server"


@pytest.mark.parametrize(
    "text",
    [
        "mcp+stdio:",
        "mcp+stdio:  ",
        "mcp+stdio://server",
        "mcp+stdio:'a",
        "mcp+stdio:'' b",
        "mcp+stdio:--flag",
        "mcp+stdio:a\nb",
        "mcp+stdio:a\\",
    ],
)
def test_no_command_is_no_origin(text: str):
    with pytest.raises(OriginMalformed) as caught:
        parse_origin(text)
    assert caught.value.code == "origin-malformed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3001", "mcp+http://localhost:3001"),
        ("http://app.internal/base", "mcp+http://app.internal:80/base"),
        ("[::1]:3001", "mcp+http://[::1]:3001"),
        ("unix:///run/app.sock", "mcp+unix:///run/app.sock"),
        ("mcp+http://localhost:3001/mcp", "mcp+http://localhost:3001/mcp"),
        ("mcp+stdio:server", "mcp+stdio:server"),
    ],
)
def test_any_web_origin_can_be_said_to_be_an_mcp_server(text: str, expected: str):
    assert str(as_mcp(parse_origin(text))) == expected


def test_bytes_are_no_mcp_server():
    with pytest.raises(OptionConflict) as caught:
        as_mcp(parse_origin("tcp://localhost:5432"))
    assert caught.value.code == "option-conflict"
