"""`underpass open` as people and programs meet it: what it prints, when, and what it leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import pytest
from tests.canary import record_secret
from tests.e2e.stage import Stage, processes_with
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho

PASSED = {
    "name": {"status": "passed"},
    "tls": {"status": "skipped"},
    "relay": {"status": "passed"},
    "link": {"status": "passed"},
    "gatehouse": {"status": "passed"},
    "gate": {"status": "passed"},
    "origin": {"status": "passed"},
}


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def without_times(verdict: dict) -> dict:
    """The verdict, its times checked and taken out."""
    layers = {name: dict(result) for name, result in verdict["layers"].items()}
    for result in layers.values():
        assert result.pop("ms", 0.0) >= 0.0
    left = {**verdict, "layers": layers}
    assert abs(left.pop("at") - time.time()) < 60
    return left


async def test_first_object_is_exactly_what_is_documented(stage: Stage, origin: HttpOrigin):
    before = time.time()
    tunnel = await stage.open(str(origin.port), "--name", "tools", "--purpose", "a demo")
    first = tunnel.first
    assert list(first) == ["schema", "event", "tunnel", "verdict", "access"]
    assert list(first["tunnel"]) == ["name", "url", "kind", "state", "gates", "lease", "engine"]
    ends_at = first["tunnel"]["lease"].pop("ends_at")
    assert before + 8 * 3600 <= ends_at <= time.time() + 8 * 3600
    verdict = without_times(first.pop("verdict"))
    assert verdict == {"ok": True, "layer": None, "layers": PASSED, "seen_from": "here"}
    assert list(verdict["layers"]) == list(PASSED)
    owner = first["tunnel"]["lease"]["owner"]
    assert owner
    assert first == {
        "schema": "underpass/v1/tunnel",
        "event": "live",
        "tunnel": {
            "name": "tools",
            "url": f"http://127.0.0.1:{tunnel.port}",
            "kind": "http",
            "state": "live",
            "gates": ["bearer"],
            "lease": {"owner": owner, "purpose": "a demo"},
            "engine": "relay",
        },
        "access": {
            "gate": "bearer",
            "token_file": str(stage.state / "tokens" / "tools.token"),
        },
    }
    assert stat.S_IMODE(os.stat(tunnel.token_file).st_mode) == 0o600


async def test_a_visitor_passes_with_the_token_and_not_without(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port))
    answer = await get(tunnel.url, tunnel.bearer)
    assert (answer.status, answer.json["method"]) == (200, "GET")
    refused = await get(tunnel.url)
    assert (refused.status, refused.code) == (401, "gate-unauthenticated")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    by_our_header = await get(tunnel.url, {"Underpass-Token": tunnel.token})
    assert by_our_header.status == 200
    for seen in (answer.json, by_our_header.json):
        names = {name.lower() for name, _ in seen["headers"]}
        assert not names & {"authorization", "underpass-token", "underpass-proof"}


async def test_the_token_is_shown_only_when_asked_for_by_name(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--show-token")
    assert list(tunnel.first["access"]) == ["gate", "token_file", "token"]
    assert tunnel.first["access"]["token"] == tunnel.token


async def test_people_read_the_url_on_stdout_and_the_rest_on_stderr(
    stage: Stage, origin: HttpOrigin
):
    tunnel = await stage.start("open", str(origin.port), "--name", "tools")
    url = (await tunnel.next_line()).strip()
    assert url.startswith("http://127.0.0.1:")
    await tunnel.until(lambda: "Ctrl-C closes it\n" in tunnel.err)
    assert tunnel.err[0].startswith("tools is live: ")
    assert await tunnel.stop() == 130
    assert tunnel.out == [f"{url}\n"]
    assert tunnel.err[-1].split(maxsplit=1)[1].strip() == "UTC  closed         closed"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)]
)
async def test_nothing_is_left_after_a_signal(
    stage: Stage, origin: HttpOrigin, number: signal.Signals, code: int
):
    tunnel = await stage.open(str(origin.port))
    port, connection = tunnel.port, await asyncio.open_connection("127.0.0.1", tunnel.port)
    assert await tunnel.stop(number) == code
    assert [each["event"] for each in tunnel.objects] == ["live", "closed"]
    assert await connection[0].read() == b""
    connection[1].close()
    assert is_free(port)
    assert await stage.leftovers() == []
    assert "Traceback" not in "".join(tunnel.err)


async def test_a_signal_before_the_proof_leaves_nothing_either(stage: Stage):
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    arrived = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tunnel = await stage.start("open", str(port), "--health-path", "/up", "--json")
        await asyncio.wait_for(arrived.wait(), 30)
        assert await tunnel.stop() == 130
    assert tunnel.out == []
    assert await stage.leftovers() == []


async def test_after_kill_9_the_rest_is_named_and_the_name_is_free(
    stage: Stage, origin: HttpOrigin
):
    tunnel = await stage.open(str(origin.port), "--name", "tools")
    await tunnel.stop(signal.SIGKILL)
    assert is_free(tunnel.port)
    assert processes_with(str(stage.runtime)) == []
    listed = await stage.run("list", "--json")
    assert listed.json["tunnels"] == []
    (stale,) = listed.json["stale"]
    assert Path(stale).name == f"open-tools-{tunnel.pid}.sock"
    for words in (("show", "tools"), ("close", "tools", "--json")):
        assert (await stage.run(*words)).code in (3, 6)
    again = await stage.open(str(origin.port), "--name", "tools")
    assert (await get(again.url, again.bearer)).status == 200
    assert await again.stop() == 130


async def test_no_url_is_printed_before_the_proof_and_the_layer_is_named(stage: Stage):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        done = await stage.run("open", str(port), "--timeout", "2", "--json")
    assert done.code == 5
    (told,) = done.lines
    assert list(told["error"]) == ["code", "message", "hint", "retryable"]
    assert told["error"]["code"] == "origin-refused"
    assert told["error"]["message"].startswith(f"cannot reach the origin {port}: ")
    assert "://" not in done.out
    assert await stage.leftovers() == []


async def test_timeout_ends_with_5_and_the_layer_at_fault(stage: Stage):
    """An origin that takes connections and never answers: only its layer is at fault."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        done = await stage.run("open", str(port), "--health-path", "/up", "--timeout", "3")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("error[proof-failed]: cannot prove ")
    assert "the layer origin is at fault (no answer within 3 s)" in done.err
    assert await stage.leftovers() == []


async def test_the_lease_ends_the_command(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--for", "3s")
    done = await tunnel.ended()
    assert done.code == 0
    events = [each["event"] for each in done.lines]
    assert events == ["live", "lease-ended", "closed"]
    assert await stage.leftovers() == []


async def test_run_starts_the_origin_with_the_url_and_passes_its_exit_code_on(stage: Stage):
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    script = stage.home / "server.py"
    script.write_text(
        "import http.server, os, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        if self.path == '/end': os._exit(7)\n"
        "        body = os.environ['UNDERPASS_URL'].encode()\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', str(len(body)))\n"
        "        self.end_headers(); self.wfile.write(body)\n"
        "print('started', file=sys.stdout, flush=True)\n"
        f"http.server.HTTPServer(('127.0.0.1', {port}), Handler).serve_forever()\n"
    )
    tunnel = await stage.open(str(port), "--run", "--", sys.executable, str(script))
    answer = await get(tunnel.url, tunnel.bearer)
    assert answer.body.decode() == tunnel.url
    assert "started\n" in tunnel.err
    await get(f"{tunnel.url}/end", tunnel.bearer)
    done = await tunnel.ended()
    assert done.code == 7
    assert await stage.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_the_origin_of_run_ends_with_the_tunnel(
    stage: Stage, origin: HttpOrigin, number: signal.Signals
):
    sleeper = "import time; time.sleep(600)"
    command = ("--run", "--", sys.executable, "-c", sleeper)
    tunnel = await stage.open(str(origin.port), *command)
    assert any(sleeper in line for line in processes_with(str(stage.runtime)))
    await tunnel.stop(number)
    if number is signal.SIGINT:
        assert await stage.leftovers() == []
        return
    await stage.processes_gone()


async def test_origins_of_every_kind(stage: Stage, short_path: Path):
    path = str(short_path / "origin")
    async with HttpOrigin(unix=path), HttpOrigin() as plain:
        forms = [f"unix://{path}", f"http://localhost:{plain.port}/base", f"127.0.0.1:{plain.port}"]
        tunnels = await asyncio.gather(*(stage.open(form) for form in forms))
        answers = [await get(f"{each.url}/x?y=1", each.bearer) for each in tunnels]
        targets = [answer.json["target"] for answer in answers]
        assert targets == ["/x?y=1", "/base/x?y=1", "/x?y=1"]
        await asyncio.gather(*(each.stop() for each in tunnels))


async def tcp_exchange(port: int, data: bytes) -> bytes:
    """Send all, half-close, read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(40):
        _, got = await asyncio.gather(send(), reader.read())
    writer.close()
    return bytes(got)


@pytest.mark.parametrize("words", [("--gate", "ip:127.0.0.0/8"), ("--public", "--for", "10m")])
async def test_tcp_gets_a_port_with_an_ip_gate_or_in_public(
    stage: Stage, echo: TcpEcho, words: tuple[str, ...]
):
    tunnel = await stage.open(f"tcp://127.0.0.1:{echo.port}", *words)
    assert tunnel.url.startswith("tcp://127.0.0.1:")
    gate = tunnel.first["verdict"]["layers"]["gate"]["status"]
    assert gate == ("open" if "--public" in words else "passed")
    assert tunnel.first["access"] == {
        "gate": "public" if "--public" in words else "ip",
        "token_file": None,
    }
    data = os.urandom(3_000_000)
    assert await tcp_exchange(tunnel.port, data) == data
    assert await tunnel.stop() == 130
    assert await stage.leftovers() == []


async def test_a_gated_tcp_tunnel_is_met_by_reach(stage: Stage, recorder: HalfCloseRecorder):
    tunnel = await stage.open(f"tcp://127.0.0.1:{recorder.port}", "--for", "2h", "--name", "data")
    assert tunnel.first["tunnel"]["url"] is None
    near = await stage.start("reach", "data", "--token-file", str(tunnel.token_file), "--json")
    ready = await near.event("ready")
    assert ready == {
        "schema": "underpass/v1/reach",
        "event": "ready",
        "name": "data",
        "listen": ready["listen"],
    }
    data = os.urandom(5_000_000)
    port = int(ready["listen"].rpartition(":")[2])
    answers = await asyncio.gather(tcp_exchange(port, data), tcp_exchange(port, b"small"))
    assert (await recorder.half_closes.get()).size == 0  # the first proof connected, no more
    half_closed = [await recorder.half_closes.get() for _ in answers]
    assert {answer.decode() for answer in answers} == {each.sha256 for each in half_closed}
    assert sorted(each.size for each in half_closed) == [5, len(data)]
    assert await near.stop() == 130
    assert await tunnel.stop() == 130
    assert await stage.leftovers() == []


async def test_reach_with_a_wrong_token_never_touches_the_origin(stage: Stage, echo: TcpEcho):
    tunnel = await stage.open(f"tcp://127.0.0.1:{echo.port}", "--name", "data")
    wrong = stage.home / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("up_" + "x" * 43)
    record_secret("wrong token", "up_" + "x" * 43)
    accepted = echo.accepted
    near = await stage.start("reach", "data", "--token-file", str(wrong), "--json")
    ready = await near.event("ready")
    port = int(ready["listen"].rpartition(":")[2])
    with pytest.raises(ConnectionResetError):
        await tcp_exchange(port, b"let me in")
    await near.until(lambda: len(near.out) > 1)
    told = near.objects[-1]["error"]
    assert (told["code"], told["message"]) == (
        "reach-refused",
        "cannot reach 'data': token-refused",
    )
    assert echo.accepted == accepted
    await near.stop()
    await tunnel.stop()


async def test_tunnel_text_of_people_names_the_reach_command(stage: Stage, echo: TcpEcho):
    tunnel = await stage.start("open", f"tcp://127.0.0.1:{echo.port}", "--name", "data")
    command = (await tunnel.next_line()).strip()
    token_file = stage.state / "tokens" / "data.token"
    assert command == f"underpass reach data --token-file {token_file}"
    await tunnel.stop()
