"""What is here changes the order, the set-up time and what is said, never what is true."""

from __future__ import annotations

import pytest

from underpass.decide.here import Found, Here, Measured
from underpass.decide.need import HOUR, Need, Task, Traffic
from underpass.decide.programs import PROGRAMS, accounts_of, read_version, version_words
from underpass.decide.ways import WAYS

PRINTED = {
    "ngrok": ("ngrok version 3.22.0\n", "3.22.0"),
    "cloudflared": ("cloudflared version 2026.8.2 (built 2026-08-20-1000 UTC)\n", "2026.8.2"),
    "tailscale": ("1.102.3\n  tailscale commit: de9ec7e\n  go version: go1.26.6\n", "1.102.3"),
    "bore": ("bore-cli 0.6.0\n", "0.6.0"),
    "ssh": ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19 27 Jan 2026\n", "9.2"),
    "autossh": ("autossh 1.4g\n", "1.4"),
    "wg": ("wireguard-tools v1.0.20210914 - https://git.zx2c4.com/wireguard-tools/\n", None),
}


@pytest.mark.parametrize("program", PRINTED)
def test_each_program_s_version_is_read(program):
    printed, version = PRINTED[program]
    found = read_version(program, printed)
    assert found == Found(program, version or "1.0.20210914")
    assert not found.is_too_old


def test_every_program_that_a_way_needs_can_be_asked():
    assert {program for way in WAYS for program in way.programs} == set(PROGRAMS)
    assert set(PRINTED) == set(PROGRAMS)
    assert all(version_words(program) for program in PROGRAMS)


@pytest.mark.parametrize("printed", ["", "\x00\xff garbage", "v9", "0" * 5_000])
@pytest.mark.parametrize("program", [p for p in PROGRAMS if p not in ("bore", "tailscale")])
def test_garbage_is_a_program_without_a_version(program, printed):
    assert read_version(program, printed) == Found(program)


def test_another_product_named_bore_does_not_count(ask):
    found = read_version("bore", "bore version 0.1.11\n")
    assert found.why_not == "another product of the same name"
    here = Here(looked=True, programs=(found,))
    assert here.find("bore") is None
    answers = ask(Need(traffic=Traffic.TCP), here).answers
    bore = next(answer for answer in answers if answer.way.id == "bore-pub")
    assert bore.missing == ("bore",)
    assert "the bore here does not count: another product of the same name" in bore.limits


@pytest.mark.parametrize(
    ("program", "version", "old"),
    [
        ("ngrok", "2.3.41", True),
        ("tailscale", "1.51.9", True),
        ("tailscale", "1.52", False),
        ("bore", "0.5.1", True),
        ("ssh", "7.5", True),
        ("cloudflared", "2020.1.0", False),
        ("ngrok", "", False),
    ],
)
def test_versions_are_compared_by_numbers(program, version, old):
    assert Found(program, version).is_too_old is old


def test_a_program_that_is_too_old_is_said_to_be(best):
    here = Here(looked=True, programs=(Found("ngrok", "2.3.41"),))
    answer = best(Need(inspect=True), here)
    assert answer.missing == ("ngrok",)
    assert "the ngrok here is 2.3.41: too old, update it" in answer.limits


def test_credentials_are_seen_by_name():
    names = ("NGROK_AUTHTOKEN", "TUNNEL_TOKEN", "TS_AUTHKEY", "HOME", "NGROK_AUTHTOKEN_OLD")
    assert accounts_of(names) == {"ngrok", "cloudflare", "tailscale"}


def test_set_up_takes_longer_where_things_are_missing(best):
    need = Need(inspect=True)
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
    need = Need(inspect=True)
    failing = Here(measured=(Measured("ngrok", True), Measured("ngrok", False, "524 for 10 min")))
    answer = ask(need, failing).answers[0]
    assert "lately measured failing: 524 for 10 min" in [reason.why for reason in answer.reasons]
    fleet = Need(task=Task.FLEET, machines=2)
    assert ask(fleet).answers[0].way.engine == "tailscale"
    assert ask(fleet, Here(measured=(Measured("tailscale", False),))).answers[0].way.id == "relay"
