"""What is here changes the order, the set-up time and what is said, never what is true."""

from __future__ import annotations

import pytest

from underpass.decide.here import Found, Here, Measured
from underpass.decide.need import HOUR, Names, Need, Task
from underpass.decide.programs import PROGRAM_OF, accounts_of, foreign, found
from underpass.decide.ways import WAYS
from underpass.drivers.registry import BUILT_IN
from underpass.model.origin import parse_origin


def test_every_program_that_a_way_needs_is_looked_for_by_a_driver():
    assert {program for way in WAYS for program in way.programs} == set(PROGRAM_OF.values())
    assert set(PROGRAM_OF) <= set(BUILT_IN)


@pytest.mark.parametrize(
    ("engine", "installed", "version", "why_not", "expected"),
    [
        ("ssh", True, "OpenSSH_9.2p1", "", Found("ssh", "9.2")),
        ("ngrok", True, "3.22.0", "", Found("ngrok", "3.22.0")),
        ("wireguard", True, "", "", Found("wg")),
        ("ngrok", True, "2.3.41", "too old", Found("ngrok", "2.3.41", "too old")),
        ("cloudflare", False, "", "there is no program cloudflared", None),
        ("tailscale", True, "?", "it is stopped", Found("tailscale", "", "it is stopped")),
        ("relay", True, "0.1.0", "", None),
        ("bore", True, "0.6.0", "", None),
    ],
)
def test_what_a_driver_found_is_a_program_that_is_here(
    engine, installed, version, why_not, expected
):
    assert found(engine, installed=installed, version=version, why_not=why_not) == expected


@pytest.mark.parametrize(
    ("exposes", "port"),
    [
        ("http://localhost:3001", 3001),
        ("80:127.0.0.1:3001", 3001),
        ("127.0.0.1:3001, kept", 3001),
        ("the interface to 3 peers", 0),
        ("unix:/run/a.sock", 0),
    ],
)
def test_the_port_that_another_s_tunnel_leads_to_is_read(exposes, port):
    assert foreign("ngrok", "pid 812", exposes).port == port


def test_what_another_s_tunnel_exposes_already_is_told(ask):
    here = Here(foreign=(foreign("ngrok", "pid 812", "http://localhost:3001"),))
    told = "http://localhost:3001 is exposed by ngrok already (pid 812)"
    assert told in ask(Need(names=Names(origin=parse_origin("3001"))), here).cautions
    assert told not in ask(Need(names=Names(origin=parse_origin("3002"))), here).cautions
    assert told not in ask(Need(), here).cautions


def test_a_program_that_does_not_count_is_said_to_with_its_reason(best):
    here = Here(looked=True, programs=(Found("ngrok", "2.3.41", "older than 3.16"),))
    assert here.find("ngrok") is None
    answer = best(Need(inspect=True, seconds=HOUR), here)
    assert answer.way.id == "ngrok-free"
    assert answer.missing == ("ngrok",)
    assert "the ngrok here does not count: older than 3.16" in answer.limits


def test_credentials_are_seen_by_name():
    names = ("NGROK_AUTHTOKEN", "TUNNEL_TOKEN", "TS_AUTHKEY", "HOME", "NGROK_AUTHTOKEN_OLD")
    assert accounts_of(names) == {"ngrok", "cloudflare", "tailscale"}


def test_set_up_takes_longer_where_things_are_missing(best):
    need = Need(inspect=True, seconds=HOUR)
    ready = Here(looked=True, programs=(Found("ngrok", "3.2"),), accounts=frozenset({"ngrok"}))
    assert best(need, ready).setup_seconds == 30
    assert best(need, Here(looked=True)).setup_seconds == 30 + 60 + 120
    # Nobody looked: nothing is held to be missing.
    assert best(need).setup_seconds == 30
    assert best(need).missing == ()


def test_what_is_here_comes_before_its_equals(ask):
    need = Need(seconds=HOUR)
    assert ask(need).answers[0].way.id == "localhost-run"
    here = Here(looked=True, programs=(Found("cloudflared", "2026.8.2"),))
    assert ask(need, here).answers[0].way.id == "cloudflare-quick"


def test_an_engine_measured_failing_goes_last_and_says_so(ask):
    need = Need(inspect=True, seconds=HOUR)
    failing = Here(measured=(Measured("ngrok", True), Measured("ngrok", False, "524 for 10 min")))
    answer = next(one for one in ask(need, failing).answers if one.way.id == "ngrok-free")
    assert answer != ask(need, failing).answers[0]
    assert "lately measured failing: 524 for 10 min" in [reason.why for reason in answer.reasons]
    fleet = Need(task=Task.FLEET, machines=2)
    assert ask(fleet).answers[0].way.engine == "tailscale"
    assert ask(fleet, Here(measured=(Measured("tailscale", False),))).answers[0].way.id == "relay"
