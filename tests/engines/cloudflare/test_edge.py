"""The test edge, proved by the real cloudflared: what it can do, and each of its faults."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.edges.bore import path_with_engines
from tests.edges.cloudflare import CONNECTIONS, CloudflareEdge, Tunnel, need_cloudflared
from tests.edges.cloudflare_control import Denied

from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho

PATIENCE = 20.0


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[CloudflareEdge]:
    need_cloudflared()
    async with CloudflareEdge(tmp_path) as edge:
        yield edge


class Cloudflared:
    """A cloudflared by hand, and every line it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def says(self, *texts: str) -> str:
        """Its first line with all of ``texts``."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines:
                    if all(text in line for text in texts):
                        return line
                self._news.clear()
                await self._news.wait()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())
            self._news.set()


@asynccontextmanager
async def cloudflared(
    edge: CloudflareEdge, directory: Path, tunnel: Tunnel, service: str = "http_status:204"
) -> AsyncIterator[Cloudflared]:
    credentials, config = directory / "c.json", directory / "config.json"
    credentials.write_bytes(tunnel.credentials())
    config.write_text(
        json.dumps(
            {
                "tunnel": tunnel.identity,
                "credentials-file": str(credentials),
                "ingress": [{"service": service}],
            }
        )
    )
    words = ["tunnel", "--config", str(config), "--no-autoupdate", "--no-prechecks"]
    words += ["--output", "json", "--metrics", "127.0.0.1:0", "--grace-period", "1s"]
    words += ["--protocol", "http2", "--cacert", str(edge.ca_file)]
    words += [word for each in edge.addresses.split(",") for word in ("--edge", each)]
    process = await asyncio.create_subprocess_exec(
        "cloudflared",
        *words,
        "run",
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": path_with_engines(), "HOME": str(directory)},
    )
    program = Cloudflared(process)
    try:
        yield program
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await program._reading


async def visit(edge: CloudflareEdge, tunnel: Tunnel, target: str = "/") -> bytes:
    """The whole answer to a visitor."""
    reader, writer = await asyncio.open_connection(
        *("127.0.0.1", edge.door.port), ssl=edge.trust(), server_hostname=tunnel.hostname
    )
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {tunnel.hostname}\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    return answer


async def test_four_connections_register_and_each_serves(
    edge: CloudflareEdge, tmp_path: Path
) -> None:
    tunnel = edge.add("tools")
    async with cloudflared(edge, tmp_path, tunnel):
        await edge.wait_registered(CONNECTIONS)
        assert sorted(link.index for link in edge.registered(tunnel)) == [0, 1, 2, 3]
        for _ in range(CONNECTIONS):
            assert (await visit(edge, tunnel)).startswith(b"HTTP/1.1 204 ")
        assert tunnel.local[0]["ingress"][0]["service"] == "http_status:204"
        assert {told.version for told in edge.registrations} == {"2026.7.3"}


async def test_a_name_without_a_connection_is_answered_1033(edge: CloudflareEdge) -> None:
    tunnel = edge.add("tools")
    answer = await visit(edge, tunnel)
    assert answer.startswith(b"HTTP/1.1 530 ")
    assert b"1033" in answer


async def test_curl_comes_through_it_like_anybody(edge: CloudflareEdge, tmp_path: Path) -> None:
    tunnel = edge.add("tools")
    async with cloudflared(edge, tmp_path, tunnel, "hello_world"):
        await edge.wait_registered(CONNECTIONS)
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--cacert", str(edge.ca_file), "--max-time", "10"),
            *("--resolve", f"{tunnel.hostname}:{edge.door.port}:127.0.0.1"),
            *("-o", str(tmp_path / "page"), "-w", "%{http_code} %{ssl_verify_result}"),
            edge.url(tunnel),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await curl.communicate()
    assert said == b"200 0"
    assert b"Congrats" in (tmp_path / "page").read_bytes()


async def test_a_configuration_is_pushed_and_obeyed(edge: CloudflareEdge, tmp_path: Path) -> None:
    tunnel = edge.add("tools", remote={"ingress": [{"service": "http_status:202"}]})
    async with cloudflared(edge, tmp_path, tunnel) as program:
        await edge.wait_registered(CONNECTIONS)
        await program.says("Updated to new configuration")
        assert (await visit(edge, tunnel)).startswith(b"HTTP/1.1 202 ")
        told = await edge.push(tunnel, {"ingress": [{"service": "http_status:206"}]})
        assert told["lastAppliedVersion"] == tunnel.version
        assert (await visit(edge, tunnel)).startswith(b"HTTP/1.1 206 ")
        told = await edge.push(tunnel, {"ingress": [{"service": "no scheme"}]})
        assert told["err"] is not None
        assert (await visit(edge, tunnel)).startswith(b"HTTP/1.1 206 ")


async def test_byte_streams_reach_private_addresses(edge: CloudflareEdge, tmp_path: Path) -> None:
    tunnel = edge.add("tools")
    async with TcpEcho() as origin, cloudflared(edge, tmp_path, tunnel):
        await edge.wait_registered(CONNECTIONS)
        stream = await edge.open_tcp(tunnel, f"127.0.0.1:{origin.port}")
        data, answer = os.urandom(3_000_000), b""
        sending = asyncio.create_task(stream.send(data))
        async with asyncio.timeout(PATIENCE):
            while len(answer) < len(data):
                answer += await stream.receive()
        await sending
        assert answer == data
        stream.reset()


@pytest.mark.parametrize("denied", [Denied("Unauthorized: Invalid tunnel secret"), None])
async def test_a_wrong_secret_is_not_let_in(
    edge: CloudflareEdge, tmp_path: Path, denied: Denied | None
) -> None:
    tunnel = edge.add("tools")
    wrong = Tunnel(tunnel.hostname, tunnel.identity, tunnel.account)
    edge.denied = denied
    async with cloudflared(edge, tmp_path, tunnel if denied else wrong) as program:
        await program.says("Invalid tunnel secret")
        assert edge.registered() == []


async def test_who_is_told_to_come_later_comes_later(edge: CloudflareEdge, tmp_path: Path) -> None:
    tunnel = edge.add("tools")
    edge.denied = Denied("too many connections", retry_seconds=1.0, should_retry=True)
    async with cloudflared(edge, tmp_path, tunnel) as program:
        await program.says("too many connections")
        edge.denied = None
        async with asyncio.timeout(PATIENCE):
            await program.process.wait()
    async with cloudflared(edge, tmp_path, tunnel):
        await edge.wait_registered(CONNECTIONS)


async def test_a_frozen_edge_is_not_noticed_by_cloudflared_and_serves_on_when_thawed(
    edge: CloudflareEdge, tmp_path: Path
) -> None:
    tunnel = edge.add("tools")
    async with cloudflared(edge, tmp_path, tunnel) as program:
        await edge.wait_registered(CONNECTIONS)
        edge.freeze()
        waiting = asyncio.create_task(visit(edge, tunnel))
        done, _ = await asyncio.wait([waiting], timeout=1.0)
        assert not done
        assert not any("Lost connection" in line for line in program.lines)
        edge.thaw()
        assert (await waiting).startswith(b"HTTP/1.1 204 ")


async def test_a_killed_edge_is_found_again(edge: CloudflareEdge, tmp_path: Path) -> None:
    tunnel = edge.add("tools")
    async with cloudflared(edge, tmp_path, tunnel) as program:
        await edge.wait_registered(CONNECTIONS)
        edge.kill()
        await program.says("Lost connection with the edge")
        await edge.wait_registered(CONNECTIONS)


async def test_visitors_are_limited_timed_and_weighed_as_by_the_real_one(
    edge: CloudflareEdge, tmp_path: Path
) -> None:
    tunnel = edge.add("tools")
    async with HalfCloseRecorder() as silent:
        service = f"http://127.0.0.1:{silent.port}"
        async with cloudflared(edge, tmp_path, tunnel, service):
            await edge.wait_registered(CONNECTIONS)
            edge.door.weather.first_byte_seconds = 0.2
            assert b" 524 " in await visit(edge, tunnel)
            edge.door.weather.answer = (429, "error code: 1015")
            assert b"1015" in await visit(edge, tunnel)
