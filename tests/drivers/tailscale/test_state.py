"""What a node says of itself is judged by its state alone."""

from __future__ import annotations

import json

import pytest

from underpass.drivers.observations import Carrying, Faltering, Refusal
from underpass.drivers.tailscale.detection import judge_daemon
from underpass.drivers.tailscale.public import funnel_ports, why_not_public
from underpass.drivers.tailscale.serving import Wanted
from underpass.drivers.tailscale.state import Status, judge, read_status


def status(state: str, **more: object) -> Status:
    facts = {"Version": "1.102.3-t1", "BackendState": state, "Health": None, **more}
    return read_status(json.dumps(facts).encode())


def test_only_running_carries() -> None:
    assert judge(status("Running")) == Carrying()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("NeedsLogin", "login-needed"),
        ("NeedsMachineAuth", "approval-needed"),
        ("Stopped", "node-stopped"),
        ("InUseOtherUser", "node-in-use"),
        ("Dreaming", "node-unknown"),
    ],
)
def test_other_states_are_final_before_and_pass_afterwards(state: str, code: str) -> None:
    before, after = judge(status(state)), judge(status(state), was_live=True)
    assert isinstance(before, Refusal)
    assert isinstance(after, Faltering)
    assert (before.code, before.fatal, after.code) == (code, True, code)


@pytest.mark.parametrize("state", ["NoState", "Starting"])
def test_a_node_that_starts_is_waited_for(state: str) -> None:
    assert judge(status(state)) is None
    assert isinstance(judge(status(state), was_live=True), Faltering)


def test_a_key_that_ended_is_told_apart_from_a_node_that_never_signed_in() -> None:
    found = judge(status("NeedsLogin", Self={"Expired": True}))
    assert isinstance(found, Refusal)
    assert found.code == "node-key-expired"
    assert "--force-reauth" in found.hint


def test_a_reassuring_table_does_not_outweigh_the_state() -> None:
    # ``tailscale status`` ends with 0 and lists peers in every state.
    found = judge(status("NeedsLogin", Peer={"k": {"HostName": "b", "Online": True}}))
    assert isinstance(found, Refusal)


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b'{"BackendState": 7}', b"\xff"])
def test_what_is_no_status_is_not_guessed_at(body: bytes) -> None:
    with pytest.raises(ValueError, match="no status"):
        read_status(body)


def test_a_daemon_that_is_too_old_is_refused() -> None:
    found = judge_daemon("/s", status("Running", Version="1.50.1"))
    assert "older than 1.52" in found.why_not


def test_a_daemon_that_is_signed_out_says_how_to_sign_in() -> None:
    found = judge_daemon("/s", status("NeedsLogin"))
    assert (found.is_usable, found.signed_in) == (False, False)
    assert "tailscale up" in found.hint


def funnel(**self_: object) -> Status:
    me = {"DNSName": "laptop.tail1.ts.net.", **self_}
    return status("Running", Self=me, CertDomains=["laptop.tail1.ts.net"])


WANTED = Wanted(443, "unix:/d", https=True, funnel=True)


def test_a_funnel_needs_https_its_attribute_and_an_allowed_port() -> None:
    ports = "https://tailscale.com/cap/funnel-ports?ports=8443,10000"
    allowed = funnel(Capabilities=["funnel", "https"])
    assert why_not_public(allowed, WANTED) is None
    told = [
        why_not_public(status("Running", Self={"DNSName": "laptop.tail1.ts.net."}), WANTED),
        why_not_public(funnel(), WANTED),
        why_not_public(funnel(CapMap={"funnel": None, ports: []}), WANTED),
    ]
    assert [refusal.code for refusal in told if refusal] == [
        *("https-off", "funnel-off", "funnel-port")
    ]
    assert all(refusal.fatal and refusal.hint for refusal in told if refusal)


def test_ports_of_funnels_are_read_with_ranges_and_without_nonsense() -> None:
    cap = "https://tailscale.com/cap/funnel-ports?ports="
    assert funnel_ports([cap + "443,8443-8445"]) == {443, 8443, 8444, 8445}
    assert funnel_ports([cap + "a-b,-,", "https://else?ports=1"]) == frozenset()


@pytest.mark.parametrize(
    ("version", "kinds"), [("1.60.0", ""), ("1.94.1", "http"), ("1.102.3-t1", "all")]
)
def test_what_may_lead_to_a_socket_depends_on_the_version_and_on_root(
    version: str, kinds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    found = judge_daemon("/s", status("Running", Version=version))
    assert (found.facts["unix"], bool(found.limits)) == (kinds, not kinds)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert judge_daemon("/s", status("Running", Version=version)).facts["unix"] == ""
