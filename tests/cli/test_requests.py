"""``requests`` and ``replay`` beside a tunnel that is really open."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.cli.conftest import Done

from underpass.assembly import OpenTunnel, open_tunnel
from underpass.assembly.errors import MetricsNotListening
from underpass.cli.commands.open import is_loopback
from underpass.model.options import OpenOptions
from underpass.model.spec import LeaseTerms, TunnelSpec, parse_origin
from underpass.testing.origins.http import HttpOrigin

Run = Callable[..., Awaitable[Done]]
Opening = Callable[..., Awaitable[OpenTunnel]]


@pytest.fixture
async def opened(
    environment: dict[str, str], at_home: Path, runtime: Path
) -> AsyncIterator[tuple[Opening, HttpOrigin]]:
    """Open public tunnels to an origin with all its habits."""
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(HttpOrigin())
        state = Path(environment["UNDERPASS_STATE_DIR"])

        async def open_one(**options: Any) -> OpenTunnel:
            spec = TunnelSpec(
                origin=parse_origin(f"http://127.0.0.1:{origin.port}"),
                name="tools",
                gates=(),
                lease=LeaseTerms(owner="alice", purpose="", seconds=600, idle_seconds=None),
                public=True,
            )
            made = OpenOptions(state_dir=state, runtime_dir=runtime, **options)
            tunnel = await open_tunnel(spec, made)
            stack.push_async_callback(tunnel.close)
            return tunnel

        yield open_one, origin


async def ask(tunnel: OpenTunnel, method: str, path: str, **more: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=tunnel.url or "", trust_env=False) as client:
        return await client.request(method, path, **more)


async def listing(underpass: Run, count: int) -> Done:
    """The list once it has so many: it may lag behind by a batch."""
    async with asyncio.timeout(20):
        while len((done := await underpass("requests", "tools", "--json")).lines) < count:
            pass
    return done


async def test_a_recorded_request_is_listed_shown_and_sent_again(
    opened: tuple[Opening, HttpOrigin], underpass: Run
) -> None:
    tunnel = await opened[0]()
    await ask(tunnel, "POST", "/hooks?token=canary", content=b"hello", headers={"X-A": "b"})
    await ask(tunnel, "GET", "/status/503")
    listed = await listing(underpass, 2)
    assert [(each["method"], each["status"]) for each in listed.lines] == [
        ("POST", 200),
        ("GET", 503),
    ]
    table = await underpass("requests", "tools", "--filter", "status=5xx")
    assert "/status/503" in table.out
    assert "hooks" not in table.out
    key = listed.lines[0]["id"]
    shown = await underpass("requests", "show", key[-6:])
    assert "POST /hooks?token=[redacted]" in shown.out
    assert "hello" in shown.out
    assert "canary" not in listed.out + table.out + shown.out

    refused = await underpass("replay", key, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (4, "replay-unconfirmed")
    again = await underpass("replay", key, "--yes", "--header", "X-A: c", "--json")
    assert again.json["after"]["status"] == 200
    assert any("X-A" in line or "c" in line for line in again.json["differences"])
    seen = opened[1].requests[-1]
    assert (seen.method, seen.target, seen.body_length) == ("POST", "/hooks", 5)
    assert (seen.all("X-A"), seen.all("Underpass-Replay")) == (["c"], [key])


EDITOR = """\
#!/bin/sh
cp "$1" "$SEEN"
sed -e 's/^X-A: b$/X-A: edited/' -e 's/^hello$/hello, again/' "$SEEN" > "$1"
"""


async def test_a_request_is_sent_as_it_was_edited(
    opened: tuple[Opening, HttpOrigin],
    underpass: Run,
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    seen, editor = tmp_path / "seen", tmp_path / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o700)
    environment |= {"EDITOR": str(editor), "SEEN": str(seen)}
    tunnel = await opened[0]()
    await ask(tunnel, "POST", "/hooks?token=canary", content=b"hello", headers={"X-A": "b"})
    key = (await listing(underpass, 1)).lines[0]["id"]
    again = await underpass("replay", key, "--yes", "--edit", "--json")
    assert again.json["after"]["status"] == 200
    text = seen.read_text()
    assert "POST /hooks?token=[redacted] HTTP/1.1" in text
    assert "canary" not in text
    sent = opened[1].requests[-1]
    assert (sent.method, sent.target, sent.body_length) == ("POST", "/hooks", 12)
    assert (sent.all("X-A"), sent.all("Underpass-Replay")) == (["edited"], [key])

    editor.write_text('#!/bin/sh\n: > "$1"\n')
    before = len(opened[1].requests)
    nothing = await underpass("replay", key, "--yes", "--edit")
    assert nothing.code != 0
    assert len(opened[1].requests) == before


async def test_what_was_recorded_can_be_looked_into_after_the_close(
    opened: tuple[Opening, HttpOrigin], underpass: Run
) -> None:
    tunnel = await opened[0]()
    await ask(tunnel, "GET", "/a")
    await tunnel.close()
    listed = await underpass("requests", "tools", "--json")
    assert [each["target"] for each in listed.lines] == ["/a"]
    away = await underpass("replay", listed.lines[0]["id"], "--json")
    assert away.json["error"]["code"] == "no-such-tunnel"


async def test_a_tunnel_without_requests_is_told_from_one_that_nobody_knows(
    opened: tuple[Opening, HttpOrigin], underpass: Run
) -> None:
    tunnel = await opened[0](capture="off")
    quiet = await underpass("requests", "tools")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "no request of tools is recorded\n")
    assert (await underpass("requests", "tools", "--json")).out == ""
    await tunnel.close()
    unknown = await underpass("requests", "tools", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (3, "no-such-tunnel")
    loud = await opened[0]()
    await ask(loud, "GET", "/a")
    await listing(underpass, 1)
    filtered = await underpass("requests", "tools", "--filter", "path=/b")
    assert (filtered.out, filtered.err) == ("", "no such request of tools is recorded\n")


async def test_a_follower_is_told_each_as_it_ends_and_when_it_is_over(
    opened: tuple[Opening, HttpOrigin], environment: dict[str, str]
) -> None:
    tunnel = await opened[0]()
    await ask(tunnel, "GET", "/before")
    words = ("requests", "tools", "--follow", "--json", "--filter", "path!=/not*")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", *words),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None

    async def told() -> str:
        async with asyncio.timeout(20):
            return str(json.loads(await process.stdout.readline())["target"])

    assert await told() == "/before"
    for name in ("/not-this", "/this"):
        await ask(tunnel, "GET", name)
    assert await told() == "/this"
    await tunnel.close()
    async with asyncio.timeout(20):
        assert await process.stdout.read() == b""
        assert await process.wait() == 0


async def test_capture_off_and_replay_unanswered(
    opened: tuple[Opening, HttpOrigin], underpass: Run
) -> None:
    tunnel = await opened[0]()
    await leave(tunnel, "/hang")
    (hung,) = (await listing(underpass, 1)).lines
    late = await underpass("replay", hung["id"], "--timeout", "1s", "--json")
    assert late.json["error"]["code"] == "replay-unanswered"
    await tunnel.close()
    await opened[0](capture="off")
    off = await underpass("requests", "tools", "--follow", "--json")
    assert off.json["error"]["code"] == "capture-off"


async def leave(tunnel: OpenTunnel, path: str) -> None:
    with pytest.raises(httpx2.TimeoutException):
        await ask(tunnel, "GET", path, timeout=0.3)


async def test_show_tells_the_meter_and_a_warning_is_watched(
    opened: tuple[Opening, HttpOrigin], underpass: Run
) -> None:
    tunnel = await opened[0](quota=("5/minute",))
    events = tunnel.events()
    for _ in range(4):
        await ask(tunnel, "GET", "/")
    async with asyncio.timeout(5):
        async for change in events:
            if change["event"] == "quota-warning":
                break
    assert (change["what"], change["used"], change["limit"]) == ("requests-per-minute", 4, 5)
    shown = await underpass("show", "tools", "--json")
    assert shown.json["meter"]["requests"] == 4
    page = await underpass("show", "tools")
    assert "quota   4 of 5 requests-per-minute, 80% (!)" in page.out


async def test_bytes_of_a_month_are_remembered_over_a_restart(
    opened: tuple[Opening, HttpOrigin],
) -> None:
    first = await opened[0](quota=("1kB/month",))
    assert (await ask(first, "GET", "/huge?bytes=2000&sized=1")).status_code == 200
    await first.close()
    again = await opened[0](quota=("1kB/month",))
    refused = await ask(again, "GET", "/")
    assert refused.status_code == 429
    assert refused.headers["Underpass-Error"] == "quota-reached"
    assert int(refused.headers["Retry-After"]) > 0


async def test_metrics_are_served_and_metrics_not_listening_is_said(
    opened: tuple[Opening, HttpOrigin],
) -> None:
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
        finder.listen()
        with pytest.raises(MetricsNotListening) as caught:
            await opened[0](metrics_listen=("127.0.0.1", port))
        assert caught.value.code == "metrics-not-listening"
    tunnel = await opened[0](metrics_listen=("127.0.0.1", port))
    await ask(tunnel, "GET", "/")
    async with httpx2.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        health = await client.get(f"http://127.0.0.1:{port}/healthz")
    assert 'underpass_tunnel_requests_total{class="2xx",tunnel="tools"} 1.0' in text
    assert health.status_code == 200


@pytest.mark.parametrize(
    "words",
    [
        ("--metrics-listen", "0.0.0.0:9100"),
        ("--no-meter", "--quota", "5/minute"),
        ("--no-meter", "--metrics-listen", "127.0.0.1:0"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_opens(
    underpass: Run, words: tuple[str, ...]
) -> None:
    done = await underpass("open", "3000", "--json", *words)
    assert (done.code, json.loads(done.out)["error"]["code"]) == (2, "usage")
    assert is_loopback("::1")
    assert not is_loopback("example.test")
