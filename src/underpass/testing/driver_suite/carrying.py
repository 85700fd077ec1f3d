"""What an engine carries: requests, bodies, events, WebSockets, bytes; and whom it does not."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os

from underpass.testing.driver_bench import PATIENCE, DriverBench
from underpass.testing.driver_suite.steps import bearer, url_of
from underpass.testing.driver_visits import (
    ask,
    chunks,
    echo_over_websocket,
    read_head,
    request_head,
    wire,
)
from underpass.testing.origins.http import HttpOrigin, huge_sha256
from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho
from underpass.testing.origins.websocket import WebSocketEcho

BIG = 320
"""Parts of 64 KiB: 20 MB."""


class Carrying:
    """A part of ``DriverSuite``."""

    async def test_it_is_detected_and_can_say_what_it_plans(self, bench: DriverBench) -> None:
        driver = bench.driver()
        detection = await driver.detect(bench.site(bench.options()))
        assert detection.is_usable, detection.why_not
        bench.version = detection.version
        assert driver.name == bench.engine
        assert isinstance(await driver.foreign(bench.site(bench.options())), tuple)

    async def test_a_tunnel_is_proved_serves_http_and_keeps_strangers_out(
        self, bench: DriverBench
    ) -> None:
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            assert tunnel.verdict.ok
            assert tunnel.status().engine == bench.engine
            url = url_of(tunnel)
            answer = await ask(bench, url, "/a?b=c", bearer(tunnel))
            assert answer.status == 200
            assert json.loads(answer.body)["target"] == "/a?b=c"
            assert (await ask(bench, url)).status == 401
            wrong = {"Authorization": f"Bearer up_{'x' * 43}"}
            assert (await ask(bench, url, headers=wrong)).status == 401

    async def test_what_visitors_claim_about_themselves_never_arrives(
        self, bench: DriverBench
    ) -> None:
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            lies = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP")
            claims = dict.fromkeys(lies, "192.0.2.99")
            await ask(bench, url_of(tunnel), "/claims", {**bearer(tunnel), **claims})
            seen = next(each for each in origin.requests if each.target == "/claims")
            for name in lies[:3]:
                assert "192.0.2.99" not in "".join(seen.all(name)), name
            assert not seen.all("authorization")

    async def test_twenty_megabytes_go_each_way_unchanged(self, bench: DriverBench) -> None:
        bench.skip_if_cannot("big")
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            url, headers = url_of(tunnel), bearer(tunnel)
            up = await ask(bench, url, "/up", headers, method="POST", parts=BIG)
            assert up.status == 200, up
            told = json.loads(up.body)
            assert told["body_length"] == BIG * 65_536
            assert told["body_sha256"] == huge_sha256(BIG * 65_536)
            for sized in "10":
                target = f"/huge?bytes={BIG * 65_536}&sized={sized}"
                down = await ask(bench, url, target, headers)
                assert hashlib.sha256(down.body).hexdigest() == huge_sha256(BIG * 65_536)

    async def test_events_arrive_one_by_one(self, bench: DriverBench) -> None:
        bench.skip_if_cannot("sse")
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            url = url_of(tunnel)
            async with asyncio.timeout(PATIENCE), wire(bench, url) as (reader, writer):
                fields = {**bearer(tunnel), "Accept": "text/event-stream"}
                writer.write(request_head("GET", url, "/sse?events=2&interval=3600", fields))
                status, _ = await read_head(reader)
                assert status == 200
                first = await anext(chunks(reader))
                assert first == b"id: 0\ndata: event 0\n\n"
            # The visitor has left, and the origin is told.
            request = next(each for each in origin.requests if each.target.startswith("/sse"))
            async with asyncio.timeout(PATIENCE):
                await request.departed.wait()

    async def test_websocket_messages_come_back(self, bench: DriverBench) -> None:
        bench.skip_if_cannot("websocket")
        async with WebSocketEcho() as origin:
            tunnel = await bench.open(f"{origin.port}")
            message = os.urandom(20_000)
            url = url_of(tunnel)
            assert await echo_over_websocket(bench, url, bearer(tunnel), message) == message

    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        bench.skip_if_cannot("tcp")
        async with HalfCloseRecorder() as origin:
            tunnel = await bench.open(f"tcp://127.0.0.1:{origin.port} {bench.tcp_words}")
            assert tunnel.verdict.ok
            data = os.urandom(1 << 20)
            url = url_of(tunnel)
            async with asyncio.timeout(PATIENCE), wire(bench, url) as (reader, writer):
                writer.write(data)
                writer.write_eof()
                answer = await reader.read()
            assert answer.decode() == hashlib.sha256(data).hexdigest()

    async def test_twenty_megabytes_go_each_way_over_tcp(self, bench: DriverBench) -> None:
        bench.skip_if_cannot("tcp")
        async with TcpEcho() as origin:
            tunnel = await bench.open(f"tcp://127.0.0.1:{origin.port} {bench.tcp_words}")
            size, digest, back = BIG * 65_536, hashlib.sha256(), hashlib.sha256()
            part = os.urandom(65_536)
            async with asyncio.timeout(PATIENCE), wire(bench, url_of(tunnel)) as (reader, writer):

                async def send() -> None:
                    for _ in range(BIG):
                        digest.update(part)
                        writer.write(part)
                        await writer.drain()

                sending = asyncio.create_task(send())
                while size:
                    got = await reader.read(1 << 20)
                    assert got, f"cut {size} bytes before the end"
                    back.update(got)
                    size -= len(got)
                await sending
            assert back.digest() == digest.digest()
