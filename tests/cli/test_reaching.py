from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from underpass_tests_kept import KeptTunnel

from underpass.api.server import ApiServer
from underpass.cli.commands.reach import find
from underpass.cli.errors import ListenRefused, RelayUnknown
from underpass.cli.main import main
from underpass.cli.reaching import reach
from underpass.model.errors_relay import RelayUnreachable
from underpass.model.options import ReachOptions, RelayAccess


class Assembly:
    """Connects to a port of this machine where the relay would be."""

    def __init__(self) -> None:
        self.port = 0
        self.options: list[ReachOptions] = []
        self.asked = asyncio.Event()
        self.error: Exception | None = None

    async def connect_reach(self, options, protocol):
        self.options.append(options)
        self.asked.set()
        if self.error is not None:
            raise self.error
        return await asyncio.get_running_loop().create_connection(protocol, "127.0.0.1", self.port)


@pytest.fixture
async def assembly(monkeypatch):
    made = Assembly()
    monkeypatch.setattr("underpass.cli.reaching.assembly", lambda: made)

    async def shout(reader, writer):
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def options(**more) -> ReachOptions:
    relay = RelayAccess(url="https://relay.example.com")
    given = {"name": "database", "relay": relay, "token_file": Path("t"), "json": True}
    return ReachOptions(**{**given, **more})


async def listening(capsys, **more) -> tuple[asyncio.Task[int], int]:
    reaching = asyncio.create_task(reach(options(**more)))
    out = ""
    async with asyncio.timeout(5):
        while not out:
            await asyncio.sleep(0)
            out = capsys.readouterr().out
    return reaching, int(json.loads(out)["listen"].rpartition(":")[2])


async def ask(port: int, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(words)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_each_local_connection_has_one_of_its_own(assembly, capsys):
    reaching, port = await listening(capsys)
    assert await ask(port, b"hello") == b"HELLO"
    assert await ask(port, b"again") == b"AGAIN"
    assert [option.name for option in assembly.options] == ["database", "database"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(reaching, 5) == 0


async def test_a_refusal_resets_the_connection_is_told_and_the_next_one_is_tried(assembly, capsys):
    reaching, port = await listening(capsys)
    assembly.error = RelayUnreachable("relay.example.com", "connection refused")
    with pytest.raises(ConnectionError):
        await ask(port, b"hello")
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "relay-unreachable"
    assembly.error = None
    assert await ask(port, b"hello") == b"HELLO"
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(reaching, 5) == 130


async def test_connections_in_progress_end_with_the_command(assembly, capsys):
    reaching, port = await listening(capsys)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"never ended")
    await asyncio.wait_for(assembly.asked.wait(), 5)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(reaching, 5) == 0
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()


async def test_a_port_that_is_taken_is_told_with_its_address(assembly):
    with pytest.raises(BaseExceptionGroup) as caught:
        await reach(options(listen=("127.0.0.1", assembly.port)))
    assert caught.group_contains(ListenRefused, match=f"127.0.0.1:{assembly.port}")


NO_RELAY = {"relay": None, "relay_ca": None, "relay_fingerprint": None}


def test_a_url_names_the_tunnel_and_its_relay():
    name, relay = find("https://database.relay.example.com:8443", NO_RELAY)
    assert name == "database"
    assert relay == RelayAccess(url="https://relay.example.com:8443")


def test_an_option_names_the_relay():
    params = {**NO_RELAY, "relay": "https://r.example", "relay_fingerprint": "ab"}
    assert find("database", params) == (
        "database",
        RelayAccess(url="https://r.example", fingerprint="ab"),
    )


async def test_a_tunnel_open_here_names_its_relay(at_home, runtime):
    async with ApiServer(runtime / "open-tools-1.sock", {"tools": KeptTunnel("tools")}):
        found = await asyncio.to_thread(find, "tools", NO_RELAY)
    assert found == ("tools", RelayAccess(url="https://relay.example.com"))


def test_a_tunnel_that_nobody_knows_needs_a_relay(at_home):
    with pytest.raises(RelayUnknown):
        find("database", NO_RELAY)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["database"], "usage"),
        (["database", "--token-file", "absent", "--relay", "https://r"], "secret-unreadable"),
    ],
)
def test_reach_without_a_token_does_not_begin(at_home, capsys, words, code):
    main(["reach", *words, "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_token_that_others_can_read_is_refused(at_home, capsys):
    (at_home / "t").write_text("up_token\n")
    (at_home / "t").chmod(0o644)
    assert main(["reach", "database", "--token-file", "t", "--relay", "https://r"]) == 1
    assert "error[loose-mode]" in capsys.readouterr().err
