"""Our own bore client, against the real server, through the suite that every engine passes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edges.bore import BoreServer, need_bore
from tests.engines.bore.test_bore import BoreBench

from underpass.drivers.bore import NATIVE, BoreDriver
from underpass.drivers.bore_native import BoreClient
from underpass.drivers.bore_protocol import (
    BoreFailure,
    Control,
    Handshake,
    Listening,
    Visitor,
    answer_to,
    frame,
)
from underpass.drivers.plans import Site
from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite

pytestmark = pytest.mark.xdist_group("bore")  # one at a time at the fixed control port

CHALLENGE = "2f1c0f6e-8a0b-4b0e-9d5e-7c1f3a2b4c5d"


class NativeBench(BoreBench):
    variant = "our own client"
    program = ""
    client = "native"


class TestBoreNative(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with NativeBench(tmp_path, runtime) as bench:
            yield bench


async def test_it_is_used_where_there_is_no_program(tmp_path: Path) -> None:
    site = Site("tools", tmp_path, environment={"PATH": str(tmp_path)})
    found = await BoreDriver().detect(site)
    assert found.is_usable
    assert found.program == NATIVE


async def test_a_server_that_falls_silent_is_noticed(tmp_path: Path) -> None:
    need_bore()
    server = BoreServer(tmp_path)
    await server.start()
    listening = asyncio.Event()
    try:
        client = BoreClient(
            ("127.0.0.1", 9), server.host, 0, "", lambda line: listening.set(), silence=1.0
        )
        running = asyncio.create_task(client.run())
        async with asyncio.timeout(10):
            await listening.wait()
            os.kill(server.pid, signal.SIGSTOP)
            with pytest.raises(BoreFailure, match="heartbeat"):
                await running
    finally:
        await server.stop()


def test_the_answer_to_a_challenge_is_that_of_bore() -> None:
    told = "0e6d396d46a12471317688d633326d150b9c093bacada3246740e21844ea1421"
    assert answer_to(CHALLENGE, "secret") == told


def test_a_control_connection_asks_for_its_port_and_hears_of_visitors() -> None:
    control = Control(7, "")
    assert control.begin() == b'{"Hello":7}\0'
    told = frame({"Hello": 7}) + frame("Heartbeat") + frame({"Connection": CHALLENGE})
    events = [event for byte in told for event in control.receive_data(bytes([byte]))[0]]
    assert events == [Listening(7), Visitor(CHALLENGE)]


def test_a_secret_is_proved_before_anything_is_asked() -> None:
    control = Control(0, "secret")
    assert control.begin() == b""
    _, answer = control.receive_data(frame({"Challenge": CHALLENGE}))
    assert answer == frame({"Authenticate": answer_to(CHALLENGE, "secret")}) + frame({"Hello": 0})


def test_bytes_behind_the_handshake_belong_to_the_visitor() -> None:
    handshake = Handshake({"Accept": CHALLENGE}, "secret")
    handshake.receive_data(frame({"Challenge": CHALLENGE}) + b"\0payload")
    assert handshake.is_over
    assert handshake.take_rest() == b"\0payload"


@pytest.mark.parametrize(
    ("told", "secret", "words"),
    [
        ({"Error": "invalid\x1b secret"}, "", r"server error: invalid\? secret"),
        ({"Challenge": CHALLENGE}, "", "no client secret was provided"),
        ({"Hello": 7}, "secret", "expected authentication challenge"),
        ({"Challenge": "x"}, "secret", "non-hello"),
        ({"Hello": 0}, "", "non-hello"),
        ({"Hello": True, "x": "y" * 300}, "", "too long"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_bore(told: object, secret: str, words: str) -> None:
    with pytest.raises(BoreFailure, match=words):
        Control(0, secret).receive_data(frame(told))


@given(st.binary(max_size=600), st.sampled_from(["", "secret"]))
def test_garbage_never_breaks_the_reading(data: bytes, secret: str) -> None:
    control = Control(0, secret)
    try:
        events, _ = control.receive_data(data)
    except BoreFailure:
        return
    assert not [event for event in events if isinstance(event, Visitor)] or control.is_listening
