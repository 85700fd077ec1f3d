"""The JSON lines: the tunnel object and the events around it, compared whole."""

from __future__ import annotations

import json

from underpass.model.events import EVENTS, LinkLost, ProofFailed, ProofPassed, TunnelOpened
from underpass.model.origin import Kind
from underpass.model.status import Lease, TunnelState, TunnelStatus
from underpass.model.verdict import Layer, LayerResult, LayerStatus, judge

PASSED = judge(dict.fromkeys(Layer, LayerResult(LayerStatus.PASSED)), at=5.0)
STATUS = TunnelStatus(
    name="tools",
    url="http://127.0.0.1:4000",
    kind=Kind.MCP,
    state=TunnelState.LIVE,
    gates=("bearer",),
    lease=Lease("alice", "demo", 1_800_000_000.0),
    engine="relay",
    verdict=PASSED,
)
TUNNEL = {
    "name": "tools",
    "url": "http://127.0.0.1:4000",
    "kind": "mcp",
    "state": "live",
    "gates": ["bearer"],
    "lease": {"owner": "alice", "purpose": "demo", "ends_at": 1_800_000_000.0},
    "engine": "relay",
}


def test_json_of_a_tunnel() -> None:
    assert STATUS.tunnel_dict() == TUNNEL
    assert STATUS.to_dict() == {"tunnel": TUNNEL, "verdict": PASSED.to_dict()}


def test_a_tunnel_that_is_not_proved_shows_no_url_and_no_verdict() -> None:
    opening = TunnelStatus("", None, Kind.TCP, TunnelState.OPENING, (), Lease("", "", 1.0), "relay")
    assert opening.to_dict() == {
        "tunnel": {
            "name": "",
            "url": None,
            "kind": "tcp",
            "state": "opening",
            "gates": [],
            "lease": {"owner": "", "purpose": "", "ends_at": 1.0},
            "engine": "relay",
        },
        "verdict": None,
    }


def test_the_line_of_a_live_tunnel() -> None:
    assert ProofPassed(5.0, PASSED).to_dict(STATUS) == {
        "schema": "underpass/v1/tunnel",
        "event": "live",
        "at": 5.0,
        "tunnel": TUNNEL,
        "verdict": PASSED.to_dict(),
    }


def test_the_line_of_a_failing_tunnel_names_the_layer() -> None:
    failed = judge({Layer.LINK: LayerResult(LayerStatus.FAILED, "link-lost")}, at=6.0)
    line = ProofFailed(6.0, Layer.LINK, "link-lost", failed).to_dict(STATUS)
    assert (line["event"], line["layer"], line["code"]) == ("failing", "link", "link-lost")
    json.dumps(line)


def test_events_carry_their_facts_and_have_distinct_words() -> None:
    line = LinkLost(7.0, "reset by peer").to_dict(STATUS)
    assert (line["event"], line["reason"]) == ("link-lost", "reset by peer")
    assert TunnelOpened(1.0).to_dict(STATUS)["event"] == "opened"
    words = [event.event for event in EVENTS]
    assert len(set(words)) == len(words) == 12
