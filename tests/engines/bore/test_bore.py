"""The real bore, against its own server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from tests.edges.bore import BoreServer, need_bore, path_with_engines

from underpass.drivers.bore import BoreDriver, judge_version, read_words
from underpass.drivers.bore_reading import read_line
from underpass.drivers.errors import EngineCannot, EngineOptionInvalid
from underpass.drivers.observations import Carrying, Refusal
from underpass.drivers.plans import Detection, DoorAddress, Site
from underpass.model.spec import parse_spec
from underpass.testing.canary import Canary
from underpass.testing.driver_bench import PATIENCE, DriverBench, Options, children
from underpass.testing.driver_suite import (
    DriverSuite,
    bearer,
    change,
    gone,
    refusal,
    url_of,
    write_stub,
)
from underpass.testing.driver_visits import ask, read_head, wire
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.sshd import free_port

pytestmark = pytest.mark.xdist_group("bore")  # one at a time at the fixed control port

WRONG = "UNDERPASS_TEST_WRONG_SECRET"
SERVER_PORTS = range(20_000, 30_000)


class BoreBench(DriverBench):
    engine = "bore"
    program = "bore"
    client = "program"
    quota_words = frozenset({"ports-exhausted"})

    async def start(self) -> None:
        need_bore()
        self.secret = secrets.token_urlsafe(18)
        self.stack.enter_context(
            mock.patch.dict(
                os.environ,
                {"PATH": path_with_engines(), "BORE_SECRET": self.secret, WRONG: "wrong"},
            )
        )
        self.server = BoreServer(self.home, secret=self.secret, ports=SERVER_PORTS)
        self.stack.push_async_callback(self.server.stop)
        await self.server.start()

    async def cut(self) -> None:
        await self.server.stop()

    async def mend(self) -> None:
        await self.server.start()

    def far_end(self) -> list[int]:
        return [self.server.pid]

    def options(self) -> Options:
        return {"via": self.server.host, "client": self.client}

    def wrong_credential(self) -> Options:
        return {**self.options(), "secret-env": WRONG}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        family = socket.AF_INET6 if ":" in self.server.host else socket.AF_INET
        for port in SERVER_PORTS:
            with socket.socket(family) as holder, suppress(OSError):
                holder.bind((self.server.host, port))
                holder.listen()
                yield {**self.options(), "port": str(port)}
                return

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        """A server that has one port to give, which somebody holds."""
        place = self.home / "small"
        place.mkdir()
        port = free_port()
        small = BoreServer(place, secret=self.secret, ports=range(port, port + 1))
        await small.start()
        try:
            family = socket.AF_INET6 if ":" in small.host else socket.AF_INET
            with socket.socket(family) as holder:
                holder.bind((small.host, port))
                holder.listen()
                yield {**self.options(), "via": small.host}
        finally:
            await small.stop()

    def hostile_options(self, text: str) -> list[Options]:
        return [{**self.options(), key: text} for key in ("via", "port", "secret-env", "client")]


class TestBore(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with BoreBench(tmp_path, runtime) as bench:
            yield bench


@pytest.fixture
async def bench(tmp_path: Path, runtime: Path) -> AsyncIterator[BoreBench]:
    async with BoreBench(tmp_path, runtime) as bench:
        yield bench


async def test_a_server_that_dies_is_a_failure_although_bore_ends_with_success(
    bench: BoreBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        changes = tunnel.events()
        await bench.server.stop()
        await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        await bench.server.start()
        await change(changes, lambda it: it["event"] == "live")
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_the_secret_shows_in_no_words_logs_or_plan(
    bench: BoreBench, caplog: pytest.LogCaptureFixture
) -> None:
    canary = Canary()
    canary.watch_for("the server's secret", bench.secret)
    caplog.set_level(logging.DEBUG)
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        plan = getattr(tunnel.engine, "plan", None)
        told = json.dumps(tunnel.status().to_dict()) + repr(tunnel.engine) + repr(plan)
        texts: dict[str, str | bytes] = {"told": told, "log": caplog.text}
        # Its own variables are the one way by which bore takes a secret without showing it to all.
        found = canary.scan(texts=texts, files=[bench.home / "state"], environments=False)
        assert "listening at" in caplog.text
        assert found == []


async def test_a_server_that_is_not_there_is_told_as_such(bench: BoreBench) -> None:
    await bench.server.stop()
    error = await refusal(bench, bench.options(), timeout=2.0)
    assert error.code == "engine-away"
    assert error.retryable
    assert "does not answer" in error.message


async def test_a_port_that_the_server_does_not_give_is_told_as_such(bench: BoreBench) -> None:
    error = await refusal(bench, {**bench.options(), "port": "31000"})
    assert error.code == "engine-refused"
    assert "range" in error.message


async def test_a_secret_that_is_missing_is_told_as_such(bench: BoreBench) -> None:
    before = set(children())
    missing = await refusal(bench, {**bench.options(), "secret-env": "UNDERPASS_TEST_UNSET"})
    assert "none is set" in missing.message
    assert await gone(lambda: bench.leftovers(before)) == []


async def test_a_request_that_two_readers_could_read_differently_never_arrives(
    bench: BoreBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        url = url_of(tunnel)
        before = len(origin.requests)
        host = url.partition("//")[2]
        head = (
            f"POST /smuggled HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: {bearer(tunnel)['Authorization']}\r\n"
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        async with asyncio.timeout(PATIENCE), wire(bench, url) as (reader, writer):
            writer.write(head.encode())
            status, _ = await read_head(reader)
        assert status == 400
        assert [it.target for it in origin.requests[before:] if it.target == "/smuggled"] == []


async def test_the_program_of_the_same_name_from_npm_is_told_apart(tmp_path: Path) -> None:
    write_stub(tmp_path / "bore", 'print("flag provided but not defined: -version")')
    site = Site("tools", tmp_path, environment={"PATH": str(tmp_path)})
    found = await BoreDriver().detect(replace(site, options={"client": "program"}))
    assert not found.is_usable
    assert "another program" in found.why_not
    assert "cargo install bore-cli" in found.hint
    found = await BoreDriver().detect(site)
    assert found.is_usable
    assert "another program" in found.limits[0]


@pytest.mark.parametrize(
    ("line", "usable", "limits"),
    [
        ("bore-cli 0.6.0", True, 0),
        ("bore-cli 0.5.3", True, 1),
        ("bore-cli 0.5.1", False, 0),
        ("bore version 0.1.11", False, 0),
        ("", False, 0),
    ],
)
def test_versions_are_judged_by_what_they_can_do(line: str, usable: bool, limits: int) -> None:
    found = judge_version("/bin/bore", [line], signed_in=None)
    assert (found.is_usable, len(found.limits)) == (usable, limits)


PREFIX = "2026-01-01T00:00:00.000000Z  INFO"


@pytest.mark.parametrize(
    ("line", "port"),
    [
        (f"{PREFIX} bore_cli::client: listening at bore.pub:41234", 41_234),
        (f"{PREFIX} bore_cli::client: listening at ::1:20001", 20_001),
        ("\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m bore_cli::client: listening at h:7", 7),
    ],
)
def test_the_port_is_read_from_the_line_that_names_it(line: str, port: int) -> None:
    assert read_line(line) == Carrying(port=port)


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"{PREFIX} bore_cli::client: listening at h:0",
        f"{PREFIX} bore_cli::client: listening at h:70000",
        f"{PREFIX} bore_cli::client: connected to server remote_port=41234",
        f"{PREFIX} proxy{{id=1}}: bore_cli::client: new connection",
        "2026  WARN proxy{id=1}: bore_cli::client: connection exited with error "
        "err=could not connect to 127.0.0.1:8080",
        "Error: something that nobody has seen",
        "\x00" * 5_000,
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert read_line(line) is None


@pytest.mark.parametrize(
    ("error", "code", "fatal"),
    [
        ("server error: invalid secret", "credential-refused", True),
        (
            "server requires authentication, but no client secret was provided",
            "credential-missing",
            True,
        ),
        ("server error: port already in use", "port-taken", False),
        ("server error: client port number not in allowed range", "port-out-of-range", True),
        ("could not connect to bore.pub:7835", "far-end-unreachable", False),
        ("unexpected EOF", "far-end-closed", False),
    ],
)
def test_errors_are_told_with_their_cause_and_a_hint(error: str, code: str, fatal: bool) -> None:
    found = read_line(f"Error: {error}")
    assert isinstance(found, Refusal)
    assert (found.code, found.fatal) == (code, fatal)
    assert found.hint


def site(**options: str) -> Site:
    return Site(
        "tools",
        Path("/nowhere"),
        options={"via": "bore.example.com", **options},
        environment={"BORE_SECRET": "s3cret", "RUST_LOG": "error", "PATH": "/bin"},
        detection=Detection(True, "/opt/bore", "0.6.0"),
        door=DoorAddress(port=4_000),
    )


def test_the_secret_goes_by_the_environment_and_nowhere_else() -> None:
    plan = BoreDriver().plan(parse_spec("3001"), site())
    assert plan.environment["BORE_SECRET"] == "s3cret"
    assert plan.environment["RUST_LOG"] == "info"
    assert "s3cret" not in repr(plan)
    assert plan.argv == (
        *("/opt/bore", "local", "4000", "--local-host", "127.0.0.1"),
        *("--to", "bore.example.com", "--port", "0"),
    )


def test_a_gate_that_needs_visitors_addresses_is_refused() -> None:
    with pytest.raises(EngineCannot, match="ip gate"):
        BoreDriver().plan(parse_spec("3001 --gate ip:192.0.2.0/24"), site())


@pytest.mark.parametrize(
    "options",
    [{"via": "host:7835"}, {"via": "-x"}, {"port": "65536"}, {"secret-env": "a b"}, {"to": "x"}],
)
def test_options_that_make_no_sense_are_refused(options: Options) -> None:
    with pytest.raises(EngineOptionInvalid):
        BoreDriver().plan(parse_spec("3001"), site(**options))


def test_what_a_foreign_bore_exposes_is_told_without_its_secret() -> None:
    words = ["8000", "-s", "hidden", "--to=bore.pub", "-p", "9000"]
    assert read_words(words) == ("localhost:8000", "bore.pub:9000")
