"""Each constraint, alone: a way that keeps everything but that one, and is out for it."""

from __future__ import annotations

import pytest

from underpass.decide.here import Found, Here, Left
from underpass.decide.need import HOUR, Audience, Auth, Names, Need, Task, Traffic, Visitor
from underpass.decide.rules import RULES
from underpass.model.origin import parse_origin

REACH = {"task": Task.REACH, "traffic": Traffic.TCP}
PRIVATE = {"audience": Audience.PRIVATE}

OUT = {
    "task": (Need(task=Task.FLEET), Here(), "ngrok-free"),
    "traffic": (Need(traffic=Traffic.TCP), Here(), "cloudflare-named"),
    "audience": (Need(**PRIVATE), Here(), "ngrok-free"),
    "visitor": (Need(traffic=Traffic.TCP, visitor=Visitor.WEBHOOK), Here(), "bore-pub"),
    "auth": (Need(auth=Auth.CERTIFICATE), Here(), "ngrok-free"),
    "open-for-long": (Need(auth=Auth.NONE, seconds=HOUR + 1), Here(), "relay"),
    "own-domain": (Need(own_domain=True), Here(), "ngrok-free"),
    "stable-name": (Need(stable_name=True), Here(), "cloudflare-quick"),
    "session": (Need(seconds=HOUR + 1), Here(), "pinggy"),
    "streaming": (Need(streaming=True), Here(), "cloudflare-quick"),
    "silence": (Need(silence_seconds=101), Here(), "cloudflare-named"),
    "payload": (Need(payload_bytes=10**8 + 1), Here(), "cloudflare-named"),
    "transfer": (Need(monthly_bytes=6), Here(left=(Left("ngrok-free-transfer", 5),)), "ngrok-free"),
    "requests": (Need(monthly_requests=20_001), Here(), "ngrok-free"),
    "no-third-party": (Need(no_third_party=True), Here(), "ngrok-free"),
    "inspect": (Need(traffic=Traffic.TCP, inspect=True), Here(), "bore-pub"),
    "no-install": (Need(no_install=True), Here(), "cloudflare-quick"),
    "no-signup": (Need(no_signup=True), Here(), "ngrok-free"),
    "free": (Need(free=True), Here(), "ngrok-paid"),
    "persistent": (Need(persistent=True), Here(), "localhost-run"),
    "whole-network": (Need(**PRIVATE, whole_network=True), Here(), "ssh-remote"),
    "resumable": (Need(resumable=True), Here(), "ngrok-free"),
    "database": (Need(traffic=Traffic.TCP, database=True, auth=Auth.IP), Here(), "relay-tcp"),
    "own-server": (Need(), Here(own_server=False), "relay"),
    "ssh-login": (Need(**REACH), Here(ssh_login=False), "ssh-local"),
    "endpoints": (Need(), Here(left=(Left("ngrok-free-endpoints", 0),)), "ngrok-free"),
    "origin": (
        Need(
            auth=Auth.SSO,
            visitor=Visitor.BROWSER,
            names=Names(origin=parse_origin("unix:///run/a")),
        ),
        Here(),
        "ngrok-free",
    ),
}


@pytest.mark.parametrize("code", OUT)
def test_a_way_is_out_for_this_constraint_and_no_other(code, ask):
    need, here, way = OUT[code]
    broken = {unfit.way.id: unfit.broken for unfit in ask(need, here).unfit}
    assert [one for one, _ in broken[way]] == [code]
    assert broken[way][0][1]


def test_every_constraint_is_tested():
    assert {rule.code for rule in RULES} == OUT.keys()


def test_a_program_that_is_here_need_not_be_installed(ask):
    need = Need(no_install=True)
    here = Here(looked=True, programs=(Found("cloudflared", "2026.8.2"),))
    ways = {answer.way.id for answer in ask(need, here).answers}
    assert "cloudflare-quick" in ways
    # Looked for and not found: not even ssh is taken for granted.
    assert "localhost-run" not in ways
    old = Here(looked=True, programs=(Found("ngrok", "2.3.41", "too old"),))
    assert "ngrok-free" not in {answer.way.id for answer in ask(need, old).answers}


def test_an_account_that_is_here_need_not_be_made(ask):
    here = Here(accounts=frozenset({"ngrok"}))
    ways = {answer.way.id for answer in ask(Need(no_signup=True), here).answers}
    assert "ngrok-free" in ways
    # That the account pays cannot be seen.
    assert "ngrok-paid" not in ways


def test_when_reaching_out_nobody_comes_in(ask):
    """Audience and visitor are of an address here, and there is none."""
    need = Need(**REACH, audience=Audience.PUBLIC, visitor=Visitor.WEBHOOK)
    assert "ssh-local" in {answer.way.id for answer in ask(need).answers}
