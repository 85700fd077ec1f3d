"""What a view of a tailnet says, and who has to act."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from underpass.drivers.mesh import MeshView
from underpass.drivers.tailscale.mesh import Network, Pong, chosen, view, without_daemon
from underpass.drivers.tailscale.state import Status, read_status

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GONE = {"Online": False, "LastSeen": "2026-03-01T10:00:00Z"}
PONG = Pong(True, "reached directly")


def status(state: str = "Running", me: object = None, **peers: dict[str, object]) -> Status:
    facts = {
        "BackendState": state,
        "Self": {"DNSName": "laptop.t.ts.net.", **(me if isinstance(me, dict) else {})},
        "Peer": {
            name: {"HostName": name, "DNSName": f"{name}.t.ts.net.", "Online": True, **peer}
            for name, peer in peers.items()
        },
    }
    return read_status(json.dumps(facts).encode())


def look(
    state: Status,
    *reached: str,
    network: Network | None = None,
    names: tuple[str, ...] = (),
    visits: dict[str, Pong] | None = None,
) -> MeshView:
    pongs = {f"{name}.t.ts.net": PONG for name in reached}
    peers = chosen(state, names)
    return view(state, peers, pongs, network=network, visits=visits, now=NOW)


def codes(found: MeshView) -> list[str]:
    return [each.code for each in found.findings]


def test_all_is_well() -> None:
    found = look(status(vm={}, ci={}), "vm", "ci")
    assert (found.ok, found.scope, found.steps) == (True, "none", ())


def test_one_machine_that_is_gone_is_named_with_when_it_was_seen() -> None:
    found = look(status(vm=GONE, ci={}), "ci")
    assert found.scope == "vm.t.ts.net"
    assert "2026-03-01 10:00 UTC" in str(found.findings)
    assert [(step.code, step.is_ours) for step in found.steps] == [("restart-there", False)]


def test_a_key_that_ended_there_is_not_taken_for_a_network() -> None:
    found = look(status(vm={**GONE, "Expired": True}), "ci")
    assert codes(found) == ["node-running", "peer-key-expired"]
    assert found.steps[0].command[-1] == "--force-reauth"
    assert not found.steps[0].is_ours


def test_all_machines_that_are_gone_point_to_this_end() -> None:
    found = look(status(vm=GONE, ci=GONE), network=Network(udp=False, has_relay=False))
    assert found.scope == "everywhere"
    assert "no-relay" in codes(found)
    assert found.steps[-1].code == "open-network"


def test_udp_that_does_not_get_out_is_told_and_is_no_fault_by_itself() -> None:
    found = look(status(vm={}), network=Network(udp=False))
    by_code = {each.code: each.ok for each in found.findings}
    assert by_code == {"node-running": True, "path-blocked": False, "udp-blocked": True}


def test_a_blocked_way_is_looked_for_anew_first() -> None:
    found = look(status(vm=GONE, ci={}))
    assert [(step.code, step.is_ours) for step in found.steps] == [
        ("rebind", True),
        ("restart-there", False),
    ]


@pytest.mark.parametrize(
    ("state", "me", "code", "step", "ours"),
    [
        ("NeedsLogin", {}, "login-needed", "sign-in", True),
        ("NeedsLogin", {"Expired": True}, "node-key-expired", "sign-in", True),
        ("NeedsLogin", {"KeyExpiry": "2026-02-01T00:00:00Z"}, "node-key-expired", "sign-in", True),
        ("NeedsLogin", {"KeyExpiry": "0001-01-01T00:00:00Z"}, "login-needed", "sign-in", True),
        ("Stopped", {}, "node-stopped", "switch-on", True),
        ("Starting", {}, "node-starting", "wait", True),
        ("NeedsMachineAuth", {}, "approval-needed", "approve", False),
        ("InUseOtherUser", {}, "node-in-use", "look", False),
        ("Dreaming", {}, "node-unknown", "look", False),
    ],
)
def test_a_node_that_is_not_in_is_the_only_thing_to_look_at(
    state: str, me: dict[str, object], code: str, step: str, ours: bool
) -> None:
    found = look(status(state, me, vm={}))
    assert (found.scope, codes(found)) == ("here", [code])
    assert [(each.code, each.is_ours) for each in found.steps] == [(step, ours)]


def test_a_key_that_ends_within_a_week_is_told_and_is_no_fault() -> None:
    found = look(status(me={"KeyExpiry": "2026-03-05T00:00:00Z"}))
    assert (found.ok, codes(found)) == (True, ["key-ends-soon"])
    later = look(status(me={"KeyExpiry": "2026-04-05T00:00:00Z"}))
    assert codes(later) == ["node-running"]


def test_a_program_that_does_not_answer_is_its_own_fault() -> None:
    url = "http://vm.t.ts.net:8001/health"
    found = look(status(vm={}), "vm", visits={url: Pong(False, "no answer within 10 s")})
    assert found.scope == url
    assert found.steps[0].code == "start-program"


def test_peers_are_found_by_name_label_or_address() -> None:
    state = status(vm={"TailscaleIPs": ["100.64.0.2"]})
    for word in ("vm", "vm.t.ts.net", "VM.t.ts.net.", "100.64.0.2"):
        assert chosen(state, [word]) == list(state.peers)
    found = look(state, "vm", names=("nobody",))
    assert codes(found) == ["node-running", "peer-unknown"]


def test_without_a_daemon_nothing_else_is_asked() -> None:
    found = without_daemon("/run/ts.sock", "no such file")
    assert (found.ok, codes(found)) == (False, ["daemon-away"])
