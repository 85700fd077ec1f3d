"""``underpass open`` as a process: the embedded relay, a real origin, and every way to the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from underpass.guard.secrets import new_token, read_secret, write_secret

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved"


@pytest.fixture
async def origin():
    async def serve(reader, writer):
        if await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def opening(environment, *words: str):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", "open", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process) -> str:
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode()


async def get(url: str, token: str = "") -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n{credential}".encode())
    writer.write(b"Connection: close\r\n\r\n")
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def left_behind(runtime: Path, environment: dict[str, str]) -> list[str]:
    """Sockets, relays and tokens; the connector's key is meant to stay."""
    tokens = Path(environment["UNDERPASS_STATE_DIR"]) / "tokens"
    return sorted(str(path) for place in (runtime, tokens) for path in place.glob("*"))


async def test_a_tunnel_is_opened_used_shown_and_closed_from_elsewhere(
    environment, origin, runtime, underpass
):
    async with opening(environment, str(origin), "--name", "tools", "--json") as process:
        live = json.loads(await line(process))
        assert (live["schema"], live["event"]) == ("underpass/v1/tunnel", "live")
        assert live["tunnel"]["state"] == "live"
        assert live["verdict"]["ok"] is True
        assert "token" not in live["access"]
        token_file = live["access"]["token_file"]
        assert stat.S_IMODE(os.stat(token_file).st_mode) == 0o600
        token = read_secret(Path(token_file)).reveal()
        url = live["tunnel"]["url"]
        assert (await get(url)).startswith(b"HTTP/1.1 401 ")
        assert (await get(url, token)).endswith(b"\r\n\r\nserved")
        listed = await underpass("list", "--json")
        assert [tunnel["url"] for tunnel in listed.json["tunnels"]] == [url]
        assert (await underpass("prove", "tools")).code == 0
        assert (await underpass("close", "tools")).out == "tools is closed\n"
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["event"] == "closed"
    assert token not in (out + err).decode() + listed.out
    assert left_behind(runtime, environment) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_a_signal_closes_it_in_good_order(environment, origin, runtime, number, code):
    async with opening(environment, str(origin), "--name", "tools") as process:
        url = (await line(process)).strip()
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert url.startswith("http://127.0.0.1:")
    assert (process.returncode, out) == (code, b"")
    assert err.decode().splitlines()[-2] == "closing"
    assert left_behind(runtime, environment) == []
    with pytest.raises(ConnectionError):
        await get(url)


async def test_without_an_origin_no_url_is_printed_and_the_layer_is_named(
    environment, runtime, underpass
):
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as closed:
        port = closed.sockets[0].getsockname()[1]
    done = await underpass("open", str(port), "--timeout", "2", "--json")
    assert done.code == 5
    [told] = done.lines
    assert told["error"]["code"] == "origin-refused"
    assert "127.0.0.1:" not in told["error"]["message"].replace(f":{port}", "")
    assert left_behind(runtime, environment) == []


SERVER = """\
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["UNDERPASS_URL"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
print("origin starts", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def test_a_program_under_run_knows_its_url_and_ends_with_the_tunnel(environment, tmp_path):
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
        port = str(taken.sockets[0].getsockname()[1])
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    words = (port, "--json", "--run", "--", sys.executable, str(program), port)
    async with opening(environment, *words) as process:
        live = json.loads(await line(process))
        token = read_secret(Path(live["access"]["token_file"])).reveal()
        url = live["tunnel"]["url"]
        assert (await get(url, token)).endswith(url.encode())
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert b"origin starts" in err
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", int(port))


async def test_a_program_that_gives_up_before_the_proof_ends_the_command(environment, underpass):
    done = await underpass("open", "9", "--json", "--run", "--", sys.executable, "-c", "exit(3)")
    assert done.code != 0
    assert "ended" in done.lines[-1]["error"]["message"]


async def test_a_gated_tcp_tunnel_is_reached_with_its_token_and_not_without(
    environment, tmp_path, underpass
):
    async def shout(reader, writer):
        writer.write((await reader.read()).upper())
        writer.close()

    async with await asyncio.start_server(shout, "127.0.0.1", 0) as database:
        port = database.sockets[0].getsockname()[1]
        words = (f"tcp://127.0.0.1:{port}", "--name", "database", "--json")
        async with opening(environment, *words) as process:
            live = json.loads(await line(process))
            assert live["tunnel"]["url"] is None
            right = live["access"]["token_file"]
            wrong = tmp_path / "wrong"
            write_secret(wrong, new_token())
            async with reaching(environment, "database", "--token-file", right) as address:
                assert await ask(address, b"select 1") == b"SELECT 1"
            async with reaching(environment, "database", "--token-file", str(wrong)) as address:
                with suppress(ConnectionError):
                    assert await ask(address, b"select 1") == b""


@asynccontextmanager
async def reaching(environment, *words: str):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", "reach", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        yield (await line(process)).strip()
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ask(address: str, words: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(words)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
