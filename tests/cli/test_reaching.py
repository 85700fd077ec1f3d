from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
from contextlib import suppress

import psutil
import pytest
import trustme
from underpass_tests_kept import KeptTunnel

from underpass.api.server import ApiServer
from underpass.cli.commands.reach import find
from underpass.cli.errors import ListenRefused, RelayUnknown
from underpass.cli.main import main
from underpass.cli.reaching import reach
from underpass.guard.secrets import Secret, write_secret
from underpass.model.options import ReachOptions, RelayAccess
from underpass.relay.protocol.frames import ALPN_REACH
from underpass.relay.protocol.reach import (
    FIN_FRAME,
    Ended,
    ReachAnswer,
    ReachChannel,
    ReachHello,
    data_header,
    greeting,
)

TOKEN = "up_" + "t" * 43


class ShoutingRelay:
    """A relay's reach door, behind TLS with a certificate of its own: answers in capitals."""

    def __init__(self) -> None:
        self.hellos: list[ReachHello] = []
        self.asked = asyncio.Event()
        self.refusal = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = ReachChannel()
        while data := await reader.read(65536):
            for event in channel.receive_data(data):
                if isinstance(event, ReachHello):
                    self.hellos.append(event)
                    answer = ReachAnswer(ok=not self.refusal, code=self.refusal)
                    writer.write(greeting(answer))
                    self.asked.set()
                elif isinstance(event, Ended):
                    writer.write(FIN_FRAME)
                else:
                    writer.write(data_header(len(event)) + bytes(event).upper())
        writer.close()


@pytest.fixture
async def relay(tmp_path):
    made, authority = ShoutingRelay(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols([ALPN_REACH])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        made.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.fixture
def options(relay, tmp_path):
    write_secret(tmp_path / "token", Secret(TOKEN))

    def make(**more) -> ReachOptions:
        given = {
            "name": "database",
            "relay": RelayAccess(url=relay.url, ca=tmp_path / "ca.pem"),
            "token_file": tmp_path / "token",
            "json": True,
        }
        return ReachOptions(**{**given, **more})

    return make


async def listening(options, capsys) -> tuple[asyncio.Task[int], int]:
    reaching = asyncio.create_task(reach(options()))
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


async def test_each_local_connection_has_one_of_its_own(relay, options, capsys):
    reaching, port = await listening(options, capsys)
    assert await ask(port, b"hello") == b"HELLO"
    assert await ask(port, b"again") == b"AGAIN"
    assert [(hello.name, hello.token) for hello in relay.hellos] == [("database", TOKEN)] * 2
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(reaching, 5) == 0


async def test_a_refusal_is_told_without_the_token_and_the_next_one_is_tried(
    relay, options, capsys
):
    reaching, port = await listening(options, capsys)
    relay.refusal = "no-such-tunnel"
    with suppress(ConnectionError):
        assert await ask(port, b"hello") == b""
    told = capsys.readouterr().out
    assert json.loads(told)["error"]["code"] == "no-such-tunnel"
    assert TOKEN not in told
    relay.refusal = ""
    assert await ask(port, b"hello") == b"HELLO"
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(reaching, 5) == 130


async def test_a_port_that_is_taken_is_told_with_its_holder(relay, options):
    port = int(relay.url.rpartition(":")[2])
    with pytest.raises(ListenRefused) as caught:
        await reach(options(listen=("127.0.0.1", port)))
    assert caught.value.message == (
        f"cannot listen on 127.0.0.1:{port}: held by {psutil.Process().name()} (pid {os.getpid()})"
    )


async def test_an_address_of_another_machine_is_told_without_asyncio_s_words(options):
    with pytest.raises(ListenRefused) as caught:
        await reach(options(listen=("203.0.113.9", 0)))
    assert caught.value.message == (
        "cannot listen on 203.0.113.9:0: cannot assign requested address"
    )


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
        (
            ["database", "--token-file", "absent", "--relay", "https://r.example"],
            "secret-unreadable",
        ),
    ],
)
def test_reach_without_a_token_does_not_begin(at_home, capsys, words, code):
    main(["reach", *words, "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_token_that_others_can_read_is_refused(at_home, capsys):
    (at_home / "t").write_text("up_token\n")
    (at_home / "t").chmod(0o644)
    assert main(["reach", "database", "--token-file", "t", "--relay", "https://r.example"]) == 1
    assert "error[loose-mode]" in capsys.readouterr().err
