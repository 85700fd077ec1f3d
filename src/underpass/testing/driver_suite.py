"""The conformance suite that every driver passes: the same for ours and for a plug-in.

    from underpass.testing.driver_bench import DriverBench
    from underpass.testing.driver_suite import DriverSuite

    class MyBench(DriverBench):
        engine = "mine"
        async def start(self): ...      # the engine's far end

    class TestMine(DriverSuite):
        @pytest.fixture
        async def bench(self, tmp_path):
            async with MyBench(...) as bench:
                yield bench

Everything goes through the product: a tunnel is opened, proved, visited through its public
address, broken and closed. What an engine cannot do, its bench says with a reason, and the test
is skipped with it (``unittest.SkipTest``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import SkipTest, mock

from underpass.assembly import OpenTunnel
from underpass.drivers.base import Engine, LinkPhase, LinkView
from underpass.drivers.errors import ENGINE_EXIT_CODE
from underpass.model.errors import Misuse, Refused, UnderpassError
from underpass.model.spec import parse_spec
from underpass.testing.canary import Canary
from underpass.testing.driver_bench import PATIENCE, DriverBench, children, listening
from underpass.testing.driver_visits import (
    ask,
    chunks,
    echo_over_websocket,
    read_head,
    request_head,
    wire,
)
from underpass.testing.hostile import HOSTILE
from underpass.testing.origins.http import HttpOrigin, huge_sha256
from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho
from underpass.testing.origins.websocket import WebSocketEcho

BIG = 320
"""Parts of 64 KiB: 20 MB."""

NOTICED_SECONDS = 15.0
"""Link loss shows within 10 s (DESIGN.md); the rest is for a crowded machine."""

TWO_INTERVALS = 35.0
"""Layers beyond the link show within two intervals of 15 s (DESIGN.md); the rest as above."""

SLOW = 75.0
# For a program that waits longer and longer before it dials again.


class DriverSuite:
    """Subclass it, and give it a fixture ``bench``."""

    # What it carries

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

    # What breaks

    async def test_a_killed_program_is_noticed_and_started_again(self, bench: DriverBench) -> None:
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            former = bench.child(tunnel)
            changes = tunnel.events()
            os.kill(former, signal.SIGKILL)
            await change(changes, lambda it: it["tunnel"]["state"] == "failing")
            await change(changes, lambda it: it["event"] == "live")
            assert bench.child(tunnel) != former
            assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200

    async def test_a_frozen_program_shows_in_the_status_and_so_does_its_thaw(
        self, bench: DriverBench
    ) -> None:
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            child, changes = bench.child(tunnel), tunnel.events()
            os.kill(child, signal.SIGSTOP)
            try:
                async with asyncio.timeout(NOTICED_SECONDS):
                    await change(changes, lambda it: it["tunnel"]["state"] == "failing")
                assert str(tunnel.status().state) == "failing"
            finally:
                os.kill(child, signal.SIGCONT)
            await change(changes, lambda it: it["event"] == "live")
            assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200

    async def test_a_frozen_program_does_not_outlive_its_tunnel(self, bench: DriverBench) -> None:
        before = set(children())
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            os.kill(bench.child(tunnel), signal.SIGSTOP)
            await tunnel.close()
            assert await gone(lambda: bench.leftovers(before)) == []

    async def test_a_wrong_credential_is_told_as_such(self, bench: DriverBench) -> None:
        options = bench.wrong_credential()
        if options is None:
            raise SkipTest("it has no credentials")
        before = set(children())
        error = await refusal(bench, options)
        assert not error.retryable, error
        assert error.hint, error
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_a_taken_port_is_told_as_such(self, bench: DriverBench) -> None:
        before = set(children())
        async with bench.taken_port() as options:
            error = await refusal(bench, options, timeout=3.0)
        assert "port" in error.message, error
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_a_quota_that_is_used_up_is_told_as_such(self, bench: DriverBench) -> None:
        before = set(children())
        async with bench.used_up() as options:
            error = await refusal(bench, options, timeout=8.0)
        assert error.exit_code in {ENGINE_EXIT_CODE, Refused.exit_code}, error
        assert {error.code, getattr(error, "reason", "")} & bench.quota_words, error
        assert error.hint, error
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_times_of_a_far_end_that_ends_and_comes_back(self, bench: DriverBench) -> None:
        loop = asyncio.get_running_loop()
        async with HttpOrigin() as origin:
            began = loop.time()
            tunnel = await bench.open(f"{origin.port}")
            bench.measured["live"] = loop.time() - began
            changes, word = tunnel.events(), Word(tunnel.engine)
            began = loop.time()
            await bench.cut()
            try:
                await change(changes, lambda it: it["tunnel"]["state"] == "failing", SLOW)
                bench.measured["dead path"] = noticed = loop.time() - began
                bench.measured["dead path, by its own word"] = word.since(began)
            finally:
                began = loop.time()
                await bench.mend()
            await change(changes, lambda it: it["event"] == "live", SLOW)
            bench.measured["recovered"] = loop.time() - began
            assert noticed < TWO_INTERVALS
            assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200

    async def test_times_of_a_far_end_that_freezes_and_thaws(self, bench: DriverBench) -> None:
        loop = asyncio.get_running_loop()
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            changes, word = tunnel.events(), Word(tunnel.engine)
            began = loop.time()
            await bench.freeze()
            try:
                await change(changes, lambda it: it["tunnel"]["state"] == "failing", SLOW)
                bench.measured["frozen far end"] = noticed = loop.time() - began
                bench.measured["frozen far end, by its own word"] = word.since(began)
            finally:
                began = loop.time()
                await bench.thaw()
            await change(changes, lambda it: it["event"] == "live", SLOW)
            bench.measured["thawed"] = loop.time() - began
            assert noticed < TWO_INTERVALS
            assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200

    async def test_a_program_that_prints_garbage_is_refused_in_time(
        self, bench: DriverBench
    ) -> None:
        if not bench.program:
            raise SkipTest("no program carries it")
        before = set(children())
        stubs = bench.home / "stubs"
        stubs.mkdir()
        write_stub(stubs / bench.program, GARBAGE)
        path = f"{stubs}{os.pathsep}{os.environ['PATH']}"
        with mock.patch.dict(os.environ, PATH=path):
            error = await refusal(bench, bench.options(), timeout=8.0)
        assert error.code in {"engine-keeps-ending", "engine-missing", "engine-away"}, error
        assert error.message.isprintable(), error.message
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_hostile_options_are_refused_or_stay_one_harmless_word(
        self, bench: DriverBench
    ) -> None:
        driver, spec = bench.driver(), parse_spec("3001")
        for text in HOSTILE:
            for options in bench.hostile_options(text):
                try:
                    plan = driver.plan(spec, bench.site(options))
                except Misuse:
                    continue
                words = [*plan.argv, *(word for file in plan.files for word in lines_of(file))]
                for word in words:
                    assert word.isprintable(), (text, word)
                if text.startswith("-"):
                    assert not any(word.startswith(text) for word in words), (text, words)

    # What must not be

    async def test_closing_leaves_no_process_port_file_or_task(self, bench: DriverBench) -> None:
        before, ports = set(children()), listening()
        async with HttpOrigin() as origin:
            tasks = asyncio.all_tasks()
            tunnel = await bench.open(f"{origin.port}")
            url = url_of(tunnel)
            await ask(bench, url, "/", bearer(tunnel))
            await tunnel.close()
            await tunnel.close()
            assert await gone(lambda: bench.leftovers(before)) == []
            assert (
                await gone(lambda: sorted(listening() - ports - {("127.0.0.1", origin.port)})) == []
            )
            ours = {task for task in asyncio.all_tasks() - tasks if "origin" not in task.get_name()}
            assert await gone(lambda: [task.get_name() for task in ours if not task.done()]) == []
            with suppress(OSError, EOFError, asyncio.IncompleteReadError):
                status = (await ask(bench, url, "/", bearer(tunnel))).status
                assert status >= 500 or status == 404, status  # some vendors' word for "nobody"

    async def test_no_secret_shows_in_words_variables_or_logs(self, bench: DriverBench) -> None:
        canary, heard = Canary(), Heard()
        logging.getLogger().addHandler(heard)
        former = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            async with HttpOrigin() as origin:
                tunnel = await bench.open(f"{origin.port}")
                token = tunnel.access.token
                assert token is not None
                canary.watch_for("the visitors' token", token.reveal())
                for label, secret in bench.secrets().items():
                    canary.watch_for(label, secret)
                await ask(bench, url_of(tunnel), "/", bearer(tunnel))
                told = json.dumps(tunnel.status().to_dict()) + repr(tunnel.engine)
                plan = getattr(tunnel.engine, "plan", None)
                texts: dict[str, str | bytes] = {"log": "\n".join(heard.lines), "status": told}
                texts["plan"] = repr(plan)
                mine = f"{os.getpid()} "
                found = [
                    each for each in canary.scan(texts=texts) if not each.where.startswith(mine)
                ]
                assert found == [], [asdict(each) for each in found]
        finally:
            logging.getLogger().removeHandler(heard)
            logging.getLogger().setLevel(former)


GARBAGE = r"""
import os, sys
sys.stdout.buffer.write(os.urandom(65536).replace(b"\n", b"") * 40 + b"\n\x1b[2Jhttps://evil.example\n")
sys.stderr.buffer.write(b"\xff\xfe\n" * 1000)
"""
"""What a program does that was replaced by nonsense: much of it, and then success."""


def write_stub(path: Path, source: str) -> None:
    """Put a Python program at ``path``."""
    path.write_text(f"#!{sys.executable} -I\n{source}")
    path.chmod(0o755)


def lines_of(file: Any) -> list[str]:
    """The lines of a planned file, as a program would read them."""
    return [line.strip() for line in file.content.decode("utf-8", "replace").split("\n")]


class Heard(logging.Handler):
    """Every line that was logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))


def url_of(tunnel: OpenTunnel) -> str:
    """Where visitors come; an assertion for a tunnel without."""
    assert tunnel.url is not None
    return tunnel.url


def bearer(tunnel: OpenTunnel) -> dict[str, str]:
    """Headers of a visitor who may pass."""
    assert tunnel.access.token is not None
    return {"Authorization": f"Bearer {tunnel.access.token.reveal()}"}


async def refusal(
    bench: DriverBench, options: dict[str, str], *, timeout: float = PATIENCE
) -> UnderpassError:
    """What opening a tunnel with ``options`` is refused with."""
    async with HttpOrigin() as origin:
        try:
            tunnel = await bench.open(f"{origin.port}", options, timeout=timeout)
        except UnderpassError as error:
            return error
        await tunnel.close()
    raise AssertionError("it was opened")


class Word:
    """When an engine itself first said that its link was not well."""

    def __init__(self, engine: Engine) -> None:
        self._at: float | None = None
        self._loop = asyncio.get_running_loop()
        engine.observe(self._hear)

    def since(self, began: float) -> float | None:
        """Seconds from ``began``; None: it has said nothing so far."""
        return None if self._at is None else self._at - began

    def _hear(self, view: LinkView) -> None:
        if self._at is None and view.phase is not LinkPhase.ATTACHED:
            self._at = self._loop.time()


async def change(changes: Any, wanted: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
    """The next change that is ``wanted``."""
    async with asyncio.timeout(patience):
        async for each in changes:
            if wanted(each):
                return each
    raise AssertionError("the changes ended before it came")


async def gone(look: Callable[[], list[Any]], seconds: float = 5.0) -> list[Any]:
    """What ``look`` still finds after ``seconds``; [] as soon as it finds nothing."""
    found = look()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while found:
                # A process is gone when it is reaped; nobody tells us of that.
                await asyncio.sleep(0.02)
                found = look()
    return found
