"""Streams through the real bore, measured through its public port, keep the contract."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.engines.bore.test_bore import BoreBench

from underpass.prove.streaming.examination import examine
from underpass.prove.streaming.judgement import ELSEWHERE
from underpass.prove.streaming.results import Parameters
from underpass.testing.origins.http import HttpOrigin

pytestmark = pytest.mark.xdist_group("bore")  # one at a time at the fixed control port

ASKED = Parameters(
    samples=20,
    rates=((10, 10), (100, 100)),
    silence_ms=1_000,
    size=2_000_000,
    tokens=10_000,
    departures=3,
)


@pytest.mark.parametrize("words", ["", "--mcp"])
async def test_bore_carries_streams(words: str, tmp_path: Path, runtime: Path) -> None:
    async with BoreBench(tmp_path, runtime) as bench, HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} {words}")
        subject = tunnel.examination.subject
        assert subject is not None
        async with asyncio.timeout(120):
            said = await examine(
                subject,
                ASKED,
                Ed25519PrivateKey.generate(),
                lambda progress: None,
                limits=ELSEWHERE,
            )
    assert said["engine"] == "bore"
    assert said["ok"] is True, said["lines"]
    assert all(each["added"]["p50"] < 20_000 for each in said["measured"]["events"])
