"""``open`` in the foreground, on a tunnel that the test opens, breaks and closes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from underpass_tests_kept import NOON, KeptTunnel

from underpass.cli.failure import explain, has_lost_reader
from underpass.cli.keeping import keep_open, opened_page, try_command
from underpass.guard.secrets import Secret
from underpass.model.errors_relay import Superseded
from underpass.model.errors_run import ProofFailed
from underpass.model.events import InstanceSuperseded
from underpass.model.options import OpenOptions
from underpass.model.origin import Kind
from underpass.model.spec import parse_spec
from underpass.model.verdict import Layer

TOKEN = "up_canary"


@dataclass
class GivenAccess:
    gate: str = "bearer"
    token_file: Path | None = Path("/state/tools.token")
    token: Secret | None = field(default_factory=lambda: Secret(TOKEN))


class ForegroundTunnel(KeptTunnel):
    """The tunnel as ``assembly.open_tunnel`` gives it."""

    def __init__(self) -> None:
        super().__init__("tools")
        self.access = GivenAccess()
        self.error: Exception | None = None
        self.origin_exit_code: int | None = None

    def events(self):
        return self.subscribe()

    async def wait_closed(self) -> None:
        await self.closed.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        if not self.closed.is_set():
            await super().close()


class Assembly:
    """Opens the one tunnel when the test lets it."""

    def __init__(self, tunnel: ForegroundTunnel) -> None:
        self.tunnel = tunnel
        self.may_open = asyncio.Event()
        self.was_cancelled = False

    async def open_tunnel(self, spec, options):
        try:
            await self.may_open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        self.tunnel.go_live()
        return self.tunnel


@pytest.fixture
async def assembly(monkeypatch):
    made = Assembly(ForegroundTunnel())
    monkeypatch.setattr("underpass.cli.keeping.assembly", lambda: made)
    return made


def options(**more) -> OpenOptions:
    return OpenOptions(state_dir=Path("/state"), runtime_dir=Path("/run"), **more)


def start(**more) -> asyncio.Task[int]:
    return asyncio.create_task(keep_open(parse_spec("3001 --name tools"), options(**more)))


async def opened(assembly, **more) -> asyncio.Task[int]:
    keeping = start(**more)
    assembly.may_open.set()
    await asyncio.wait_for(assembly.tunnel.subscribed.wait(), 5)
    return keeping


async def end(keeping: asyncio.Task[int]) -> int:
    return await asyncio.wait_for(keeping, 5)


async def test_nothing_is_printed_before_the_first_proof_then_the_url_alone_on_stdout(
    assembly, capsys
):
    keeping = start()
    await asyncio.sleep(0)
    assert capsys.readouterr() == ("", "")
    assembly.may_open.set()
    await asyncio.wait_for(assembly.tunnel.subscribed.wait(), 5)
    await asyncio.sleep(0)
    told = capsys.readouterr()
    assert told.out == "https://tools.relay.example.com\n"
    assert told.err.startswith("tools is live: name, tls, relay, link, gatehouse, gate, origin")
    os.kill(os.getpid(), signal.SIGINT)
    assert await end(keeping) == 130
    assert assembly.tunnel.closed.is_set()


async def test_sigterm_closes_in_good_order_with_exit_code_0(assembly, capsys):
    keeping = await opened(assembly)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await end(keeping) == 0
    assert assembly.tunnel.closed.is_set()
    assert capsys.readouterr().err.endswith("closing\n12:01:00 UTC  closed         asked\n")


async def test_an_interrupt_while_opening_undoes_it(assembly):
    keeping = start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    assert await end(keeping) == 130
    assert assembly.was_cancelled


async def test_a_second_interrupt_does_not_wait_for_good_order(assembly, monkeypatch):
    closing = asyncio.Event()

    async def never_ends() -> None:
        closing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(assembly.tunnel, "close", never_ends)
    keeping = await opened(assembly)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(closing.wait(), 5)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(asyncio.CancelledError):
        await end(keeping)


async def test_a_tunnel_that_breaks_is_closed_and_its_error_told(assembly):
    keeping = await opened(assembly)
    assembly.tunnel.error = Superseded("tools")
    assembly.tunnel.closed.set()
    with pytest.raises(ExceptionGroup) as caught:
        await end(keeping)
    assert isinstance(explain(caught.value), Superseded)


async def test_a_reader_that_leaves_closes_the_tunnel(assembly, monkeypatch):
    keeping = await opened(assembly, json=True)

    def broken(facts) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("underpass.cli.keeping.json_line", broken)
    assembly.tunnel.fail(Layer.ORIGIN)
    with pytest.raises(ExceptionGroup) as caught:
        await end(keeping)
    assert has_lost_reader(caught.value)
    assert assembly.tunnel.closed.is_set()


async def test_json_is_a_line_when_live_then_one_for_each_change(assembly, capsys):
    keeping = await opened(assembly, json=True)
    assembly.tunnel.fail(Layer.ORIGIN)
    await assembly.tunnel.close()
    assert await end(keeping) == 0
    told = capsys.readouterr()
    first, second, third = map(json.loads, told.out.splitlines())
    status = assembly.tunnel.status()
    assert list(first) == ["schema", "event", "tunnel", "verdict", "access"]
    assert (first["schema"], first["event"]) == ("underpass/v1/tunnel", "live")
    assert list(first["tunnel"]) == ["name", "url", "kind", "state", "gates", "lease", "engine"]
    assert first["tunnel"]["lease"] == status.lease.to_dict()
    assert first["verdict"]["ok"] is True
    assert first["access"] == {"gate": "bearer", "token_file": "/state/tools.token"}
    assert (second["event"], second["verdict"]["layer"]) == ("failing", "origin")
    assert third["event"] == "closed"
    assert told.err == ""


@pytest.mark.parametrize("as_json", [True, False])
async def test_the_token_is_shown_only_when_asked_for_by_name(assembly, capsys, as_json):
    for show in (True, False):
        assembly.tunnel.closed.clear()
        assembly.tunnel.subscribed.clear()
        keeping = await opened(assembly, json=as_json, show_token=show)
        await assembly.tunnel.close()
        await end(keeping)
        told = capsys.readouterr()
        assert (TOKEN in told.out + told.err) is show


async def test_a_tunnel_closed_from_elsewhere_ends_the_command_with_0(assembly):
    keeping = await opened(assembly)
    await assembly.tunnel.close()
    assert await end(keeping) == 0


async def test_the_exit_code_of_the_origin_s_program_is_passed_on(assembly):
    keeping = await opened(assembly)
    assembly.tunnel.origin_exit_code = 3
    await assembly.tunnel.close()
    assert await end(keeping) == 3


async def test_a_tunnel_taken_over_by_a_newer_instance_is_a_conflict(assembly):
    keeping = await opened(assembly)
    assembly.tunnel.tell(InstanceSuperseded(NOON))
    await assembly.tunnel.close()
    with pytest.raises(Superseded):
        await end(keeping)


async def test_what_keeps_it_from_opening_is_raised_as_it_is(assembly, monkeypatch, capsys):
    async def fail(spec, options):
        raise ProofFailed("tools", "origin", "connection refused")

    monkeypatch.setattr(assembly, "open_tunnel", fail)
    with pytest.raises(ProofFailed):
        await end(start())
    assert capsys.readouterr().out == ""


async def test_the_signal_handlers_go_with_the_command(assembly):
    keeping = await opened(assembly)
    await assembly.tunnel.close()
    await end(keeping)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_page_after_opening():
    tunnel = ForegroundTunnel()
    tunnel.go_live()
    assert opened_page(tunnel.status(), GivenAccess(), None, NOON) == (
        "tools is live: name, tls, relay, link, gatehouse, gate, origin passed\n"
        "  gate   bearer; the visitors' secret is in /state/tools.token (0600)\n"
        "  lease  until 2026-11-22 20:00:00 UTC (in 8h), owner alice, for demo\n"
        '  try    printf \'header = "Authorization: Bearer %s"\' "$(cat /state/tools.token)"'
        " | curl -K - https://tools.relay.example.com\n"
        "Ctrl-C closes it"
    )


@pytest.mark.parametrize(
    ("access", "command"),
    [
        (
            GivenAccess("basic", Path("/s/t")),
            'printf \'user = "%s"\' "$(cat /s/t)" | curl -K - https://t.example',
        ),
        (
            GivenAccess("link", Path("/s/a b")),
            "printf 'url = \"%s\"' \"$(cat '/s/a b')\" | curl -K -",
        ),
        (GivenAccess("ip", None, None), "curl https://t.example"),
        (GivenAccess("public", None, None), "curl https://t.example"),
    ],
)
def test_each_gate_has_a_command_to_try_without_a_secret_in_it(access, command):
    status = replace(ForegroundTunnel().status(), url="https://t.example")
    assert try_command(status, access) == command


async def test_a_gated_tcp_tunnel_prints_how_it_is_reached(assembly, capsys):
    assembly.tunnel.url = None
    go_live = assembly.tunnel.go_live

    def as_tcp() -> None:
        go_live()
        assembly.tunnel._status = replace(assembly.tunnel._status, kind=Kind.TCP, url=None)

    assembly.tunnel.go_live = as_tcp
    keeping = await opened(assembly)
    await assembly.tunnel.close()
    await end(keeping)
    assert capsys.readouterr().out == "underpass reach tools --token-file /state/tools.token\n"
