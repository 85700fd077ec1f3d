from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from underpass.cli.commands.relay_serve import command as serve_command
from underpass.cli.main import main
from underpass.cli.serving import serve
from underpass.model.errors_run import LooseMode
from underpass.model.options import RelayLimits, RelayOptions


class ServedRelay:
    public_url = "http://127.0.0.1:8800"
    link_url = "http://127.0.0.1:8800"
    enrol_token_file = Path("/state/enrol-token")

    def __init__(self) -> None:
        self.serving = asyncio.Event()
        self.closed = asyncio.Event()
        self.drains = 0
        self.reloads: asyncio.Queue[None] = asyncio.Queue()
        self.mistake: Exception | None = None

    async def wait_closed(self) -> None:
        self.serving.set()
        await self.closed.wait()

    async def drain(self) -> None:
        self.drains += not self.closed.is_set()
        self.closed.set()

    async def close(self) -> None:
        self.closed.set()

    async def reload(self) -> None:
        self.reloads.put_nowait(None)
        if self.mistake is not None:
            raise self.mistake


@pytest.fixture
async def relay(monkeypatch):
    served = ServedRelay()

    class Assembly:
        async def serve_relay(self, options):
            return served

    monkeypatch.setattr("underpass.cli.serving.assembly", Assembly)
    return served


async def start(relay, *, as_json: bool = True) -> asyncio.Task[int]:
    options = RelayOptions(
        state_dir=Path("/state"), listen=("127.0.0.1", 0), dev=True, json=as_json
    )
    serving = asyncio.create_task(serve(options))
    await asyncio.wait_for(relay.serving.wait(), 5)
    return serving


async def test_ready_is_one_object_when_it_serves(relay, capsys):
    serving = await start(relay)
    assert json.loads(capsys.readouterr().out) == {
        "schema": "underpass/v1/relay",
        "event": "ready",
        "public_url": "http://127.0.0.1:8800",
        "link_url": "http://127.0.0.1:8800",
        "enrol_token_file": "/state/enrol-token",
    }
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(serving, 5) == 0


async def test_people_see_the_url_and_how_to_use_it(relay, capsys):
    serving = await start(relay, as_json=False)
    told = capsys.readouterr()
    assert told.out == "http://127.0.0.1:8800\n"
    assert told.err == (
        "the relay is ready\n"
        "  try  underpass open 3001 --relay http://127.0.0.1:8800"
        " --enrol-token-file /state/enrol-token\n"
    )
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(serving, 5) == 130
    assert relay.drains == 1


async def test_sighup_reloads_and_a_mistake_does_not_end_the_relay(relay, capsys):
    serving = await start(relay)
    relay.mistake = LooseMode("/key.pem", "0644", "0600")
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(relay.reloads.get(), 5)
    relay.mistake = None
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(relay.reloads.get(), 5)
    relay.closed.set()
    assert await asyncio.wait_for(serving, 5) == 0
    _, refused, reloaded = map(json.loads, capsys.readouterr().out.splitlines())
    assert refused["error"]["code"] == "loose-mode"
    assert reloaded == {"schema": "underpass/v1/relay", "event": "reloaded"}


def options_of(*words: str) -> RelayOptions:
    from underpass.cli.commands.relay_serve import chosen

    ctx = serve_command.make_context("serve", list(words))
    return chosen(ctx, ctx.params, as_json=False)


def test_a_public_relay_listens_on_443_for_all(at_home, environment):
    options = options_of("--domain", "relay.example.com", "--tls-cert", "c", "--tls-key", "k")
    assert options.listen == ("", 443)
    assert options.state_dir == Path(environment["UNDERPASS_STATE_DIR"], "relay")
    assert options.limits == RelayLimits()


def test_every_option_has_its_place(at_home, tmp_path):
    options = options_of(
        *("--dev", "--listen", "[::1]:0", "--state", str(tmp_path), "--tcp-ports", "20000-20009"),
        *("--redirect-listen", ":80", "--metrics-listen", "127.0.0.1:9190"),
        *("--proxy-protocol-from", "10.0.0.0/8", "--front-fingerprint", "ab" * 32),
        *("--authorised-keys", "keys", "--max-names", "1", "--max-ports", "2"),
        *("--max-streams", "3"),
    )
    assert options == RelayOptions(
        state_dir=tmp_path,
        listen=("::1", 0),
        dev=True,
        redirect_listen=("", 80),
        metrics_listen=("127.0.0.1", 9190),
        tcp_ports=range(20000, 20010),
        proxy_protocol_from=("10.0.0.0/8",),
        front_fingerprints=("ab" * 32,),
        authorised_keys=Path("keys"),
        limits=RelayLimits(names=1, ports=2, streams=3),
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--domain", "relay.example.com"],
        ["--dev", "--domain", "relay.example.com"],
        ["--dev", "--tls-cert", "c", "--tls-key", "k"],
        ["--dev", "--tls-cert", "c"],
        ["--dev", "--listen", "8800"],
        ["--dev", "--listen", "::1:80"],
        ["--dev", "--tcp-ports", "9-8"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(at_home, words, capsys):
    assert main(["relay", "serve", *words]) == 2
    assert capsys.readouterr().err.startswith("error[usage]")
