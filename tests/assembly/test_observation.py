"""The watch on a tunnel counts against the quotas of whoever carries it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from underpass.assembly.engines import Chosen
from underpass.assembly.observation import watch
from underpass.drivers.plans import Plan, Site
from underpass.guard.policy import Policy
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec
from underpass.testing.loopback_engine import LoopbackDriver


@pytest.mark.parametrize(
    ("way", "origin", "counted", "uncounted"),
    [
        ("cloudflare-quick", "3001", {"requests-in-flight"}, {"silence-seconds", "body-bytes"}),
        ("pinggy", "3001", {"session-seconds"}, set()),
        (
            "ngrok-free",
            "tcp://127.0.0.1:5432 --public",
            {"bytes-out-per-month", "tcp-connections-per-month", "tcp-connections-per-minute"},
            {"endpoints", "agents"},
        ),
        (
            "ngrok-free",
            "3001",
            {"bytes-out-per-month", "requests-per-month", "requests-per-minute"},
            {"endpoints", "agents"},
        ),
        ("tailscale-funnel", "3001", set(), {"ports", "bandwidth", "key-days"}),
        ("localhost-run", "3001", set(), {"names", "bandwidth"}),
        ("", "3001", set(), set()),
    ],
)
async def test_quotas_are_those_of_the_way_and_the_kind(
    way: str, origin: str, counted: set[str], uncounted: set[str], tmp_path: Path
) -> None:
    spec, site = parse_spec(origin), Site("shop", tmp_path)
    engine = LoopbackDriver().make_engine(parse_spec("3001"), site)
    chosen = Chosen(engine, Plan("loopback", "nobody"), site, way)
    async with AsyncExitStack() as stack:
        options = OpenOptions(state_dir=tmp_path / "state", runtime_dir=tmp_path)
        watched = await watch(spec, options, Policy(), chosen, stack)
        assert watched is not None
        told = watched.meter()
        assert told is not None
        assert {quota["what"] for quota in told["quotas"]} == counted
        assert uncounted <= {limit["what"] for limit in told["uncounted"]}
        for one in (*told["quotas"], *told["uncounted"]):
            assert one["whose"] == way
            assert one["source"]
            assert one["as_of"] >= "2023"
