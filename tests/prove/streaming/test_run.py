"""Whole measurements through true tunnels: each fault on the way fails its line, and no other."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.prove.streaming.faulty_way import FaultyWay

from underpass.assembly import open_tunnel
from underpass.assembly.examination import Examination
from underpass.drivers import registry
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec
from underpass.prove.streaming.errors import StreamUnmeasurable
from underpass.prove.streaming.examination import Subject, examine
from underpass.prove.streaming.judgement import ELSEWHERE, LOOPBACK, Limits
from underpass.prove.streaming.results import Parameters
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import TcpEcho

KEY = Ed25519PrivateKey.generate()

SMALL = Parameters(
    samples=10,
    rates=((10, 10), (50, 10)),
    rounds=1,
    silence_ms=500,
    size=300_000,
    tokens=2_000,
    departures=1,
)

ROOMY = Limits(first_byte_p99_us=60_000, event_p99_us=60_000)
"""For a crowded machine; what the faults add is far beyond."""

LATE = 0.15

PATIENCE = 60.0


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="up-") as path:
        yield Path(path)


@pytest.fixture
def loopback_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest foreign engine can be chosen."""
    value = "underpass.testing.loopback_engine:LoopbackDriver"
    points = [EntryPoint("loopback", value, registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


@asynccontextmanager
async def tunnel(words: str, home: Path, runtime: Path) -> AsyncIterator[Any]:
    options = OpenOptions(state_dir=home / "state", runtime_dir=runtime)
    made = await open_tunnel(parse_spec(words), options)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def subject_of(words: str, home: Path, runtime: Path) -> AsyncIterator[Subject]:
    async with HttpOrigin() as origin, tunnel(f"{origin.port} {words}", home, runtime) as made:
        assert made.examination.subject is not None
        yield made.examination.subject


async def certificate(subject: Subject, limits: Limits = ROOMY, asked: Parameters = SMALL) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await examine(subject, asked, KEY, lambda progress: None, limits=limits)


def failed(said: Any) -> set[str]:
    return {line["name"] for line in said["lines"] if line["outcome"] == "failed"}


@pytest.mark.parametrize("words", ["", "--mcp", "--gate link", "--public --for 1h"])
async def test_every_line_passes_through_our_relay(
    words: str, tmp_path: Path, runtime: Path
) -> None:
    async with subject_of(words, tmp_path, runtime) as subject:
        said = await certificate(subject)
        assert failed(said) == set(), said["lines"]
        assert said["ok"] is True
        assert (said["engine"], said["seen_from"]) == ("relay", "loopback")
        assert [each["is_whole"] for each in said["measured"]["silences"]] == [True] * 3
        assert said["measured"]["faults"] == []


async def test_every_line_passes_through_a_foreign_engine(
    loopback_engine: None, tmp_path: Path, runtime: Path
) -> None:
    async with subject_of("--engine loopback", tmp_path, runtime) as subject:
        said = await certificate(subject)
        assert (said["engine"], failed(said)) == ("loopback", set()), said["lines"]


async def test_the_issued_limits_hold_on_loopback(tmp_path: Path, runtime: Path) -> None:
    # Other programs of this machine only ever add: the quietest round says what is ours.
    asked = replace(SMALL, samples=100, rates=((100, 100), (1000, 500)), rounds=10, departures=3)
    async with subject_of("", tmp_path, runtime) as subject:
        said = await certificate(subject, LOOPBACK, asked)
        assert said["limits"]["event_p99_us"] == said["limits"]["first_byte_p99_us"] == 5_000
        assert said["limits"]["cancellation_us"] == 1_000_000
        assert failed(said) == set(), said["lines"]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the way, and the lines that it fails."""

    options: dict[str, Any]
    failed: set[str]
    limits: Limits = ROOMY
    rates: tuple[tuple[int, int], ...] = SMALL.rates


SLOW = ((4, 6),)
"""Events far enough apart that a late one does not meet the next."""

FAULTS = {
    "none": Fault({}, set()),
    "late-first": Fault({"first_late": LATE}, {"first-byte"}, rates=SLOW),
    "late-events": Fault({"later_late": LATE}, {"events"}, rates=SLOW),
    "collecting": Fault({"collects": 0.35}, {"unbuffered"}, ELSEWHERE),
    "flipping-down": Fault({"flips": ("down", 200_000)}, {"intact"}),
    "flipping-up": Fault({"flips": ("up", 200_000)}, {"intact"}),
    "swallowing-up": Fault({"swallows": "up"}, {"leaving"}),
    "swallowing-down": Fault({"swallows": "down"}, {"breaking"}),
    "impatient": Fault({"idle": 0.35}, {"silence"}),
    "rewriting": Fault(
        {"rewrites": (b"Accel-Buffering: no", b"Accel-Buffering: on")}, {"unchanged"}
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_on_the_way_fails_its_line_and_no_other(
    name: str, tmp_path: Path, runtime: Path
) -> None:
    fault = FAULTS[name]
    async with subject_of("", tmp_path, runtime) as subject:
        async with FaultyWay(subject.door.address.port, **fault.options) as way:
            faulty = replace(subject, door=replace(subject.door, dialler=way.dial))
            said = await certificate(faulty, fault.limits, replace(SMALL, rates=fault.rates))
        assert failed(said) == fault.failed, said["lines"]
        assert said["ok"] is not bool(fault.failed)


async def test_a_door_that_is_shut_fails_everything_and_ends(tmp_path: Path, runtime: Path) -> None:
    async with subject_of("", tmp_path, runtime) as subject:
        async with FaultyWay(subject.door.address.port) as way:
            gone = replace(subject, door=replace(subject.door, dialler=way.dial))
        said = await certificate(gone)
        assert len(failed(said)) == len(said["lines"])
        assert "the public door did not open" in said["measured"]["faults"][0][1]


async def test_what_is_measured_is_neither_metered_nor_counted_nor_seen_by_the_origin(
    tmp_path: Path, runtime: Path
) -> None:
    async with subject_of("", tmp_path, runtime) as subject:
        before = subject.house.statistics()
        await certificate(subject)
        after = subject.house.statistics()
        assert after.http_exchanges == before.http_exchanges
        assert after.bytes_down == before.bytes_down
        assert after.open_http == 0


async def test_one_measurement_at_a_time_and_leaving_it_leaves_nothing(
    tmp_path: Path, runtime: Path
) -> None:
    async with subject_of("", tmp_path, runtime) as subject:
        reached = asyncio.Event()
        long = replace(SMALL, silence_ms=3_600_000)

        def tell(progress: Any) -> None:
            if progress.doing == "silence":
                reached.set()

        first = asyncio.create_task(examine(subject, long, KEY, tell, limits=ROOMY))
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        with pytest.raises(StreamUnmeasurable, match="another measurement is under way") as busy:
            await certificate(subject)
        assert busy.value.code == "stream-unmeasurable"
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert failed(await certificate(subject)) == set()


async def test_a_tunnel_of_bytes_is_not_measured(tmp_path: Path, runtime: Path) -> None:
    async with (
        TcpEcho() as echo,
        tunnel(f"tcp://127.0.0.1:{echo.port}", tmp_path, runtime) as made,
    ):
        examination = made.examination
        assert isinstance(examination, Examination)
        with pytest.raises(StreamUnmeasurable, match="it carries bytes"):
            examination.stream(SMALL)
