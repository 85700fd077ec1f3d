"""The words between the program that holds a door and whoever keeps it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.tailscale import child
from underpass.drivers.tailscale.local_api import LocalApi, Silent
from underpass.drivers.tailscale.serving import Wanted


@pytest.mark.parametrize(
    "found",
    [
        Carrying("http://n.t"),
        Faltering("node-silent", "it does not answer\nat all"),
        Refusal("port-taken", "port 80", "choose another"),
        Refusal("login-needed", "sign in", fatal=True),
    ],
)
def test_what_is_told_is_read_again(found: Observation, capsys: pytest.CaptureFixture[str]) -> None:
    child.tell(found)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert child.read_line(out) == found


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"carrying": 7}',
        '{"carrying": {"url": "x", "more": 1}}',
        '{"carrying": {}, "refusal": {}}',
        '{"unknown": {}}',
        "2026/11/23 09:37:54 logger closing down",
        "\x00" * 5_000,
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert child.read_line(line) is None


async def test_nobody_at_the_socket_is_told_with_how_to_start_it(
    runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await child.hold(str(runtime / "none.sock"), Wanted(80, "127.0.0.1:9"))
    found = child.read_line(capsys.readouterr().out)
    assert isinstance(found, Refusal)
    assert (found.code, found.fatal) == ("daemon-away", False)
    assert "systemctl start tailscaled" in found.hint


async def answering(path: Path, answer: bytes) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    return await asyncio.start_unix_server(serve, str(path))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff" * 4_096,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html></h",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"BackendState": false}',
    ],
)
async def test_whoever_is_not_tailscaled_is_not_taken_for_it(runtime: Path, answer: bytes) -> None:
    path = runtime / "s.sock"
    server = await answering(path, answer)
    async with server, LocalApi(path) as api:
        with pytest.raises(Silent):
            await api.status()


async def test_a_user_who_may_not_is_told_whom_to_ask(
    runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps({"error": "Access denied: watch IPN bus access denied"}).encode()
    head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    path = runtime / "s.sock"
    async with await answering(path, head + body):
        await child.hold(str(path), Wanted(80, "127.0.0.1:9"))
    found = child.read_line(capsys.readouterr().out)
    assert isinstance(found, Refusal)
    assert (found.code, found.fatal) == ("not-allowed", True)
    assert "--operator" in found.hint


async def test_dialling_where_nobody_listens_is_an_error_of_the_system(runtime: Path) -> None:
    async with LocalApi(runtime / "none.sock") as api:
        with pytest.raises(OSError, match="No such file"):
            await api.dial("node.t", 80)
    path = runtime / "s.sock"
    async with await answering(path, b"HTTP/1.1 502 Bad\r\n\r\n"), LocalApi(path) as api:
        with pytest.raises(ConnectionRefusedError, match=r"node\.t:80"):
            await api.dial("node.t", 80)
