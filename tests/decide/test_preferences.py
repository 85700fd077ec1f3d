"""Each reason for or against a way is told, with its points, where it holds."""

from __future__ import annotations

import pytest

from underpass.decide.here import Found, Here
from underpass.decide.need import DAY, HOUR, Audience, Auth, Need, Task, Traffic, Visitor
from underpass.decide.preferences import PREFERENCES

SERVER = Here(own_server=True)
LOGIN = Here(ssh_login=True)
REACH = {"task": Task.REACH, "traffic": Traffic.TCP}
TCP = {"traffic": Traffic.TCP}

HOLDS = [
    (30, "ngrok-free", Need(inspect=True, seconds=HOUR), Here()),
    (30, "localhost-run", Need(seconds=HOUR, no_install=True, no_signup=True), Here()),
    (30, "cloudflare-named", Need(seconds=DAY + 1, own_domain=True), Here()),
    (20, "cloudflare-named", Need(auth=Auth.SSO), Here()),
    (30, "ngrok-free", Need(demo=True), Here()),
    (25, "ngrok-paid", Need(demo=True), Here()),
    (30, "tailscale-funnel", Need(task=Task.FLEET), Here()),
    (
        10,
        "wireguard",
        Need(task=Task.FLEET, no_third_party=True, audience=Audience.PRIVATE),
        Here(),
    ),
    (30, "ssh-local", Need(**REACH), LOGIN),
    (15, "ssh-local", Need(**REACH), Here()),
    (30, "ssh-kept", Need(**REACH, persistent=True), LOGIN),
    (-10, "ssh-local", Need(**REACH, persistent=True), LOGIN),
    (25, "wireguard", Need(**REACH, persistent=True), Here()),
    (8, "ssh-kept", Need(**REACH, seconds=None), LOGIN),
    (12, "bore-own", Need(**TCP, no_third_party=True), Here()),
    (15, "bore-pub", Need(**TCP, unattended=True, seconds=HOUR), Here()),
    (6, "bore-own", Need(**TCP), SERVER),
    (-8, "bore-pub", Need(), Here()),
    (10, "relay", Need(no_third_party=True), SERVER),
    (15, "relay", Need(resumable=True), SERVER),
    (8, "relay", Need(traffic=Traffic.MCP), SERVER),
    (8, "relay", Need(streaming=True), SERVER),
    (10, "relay-reach", Need(**REACH, database=True), SERVER),
    (-25, "relay", Need(), Here()),
    (-10, "ssh-local", Need(**REACH), Here()),
    (-15, "ngrok-paid", Need(), Here()),
    (-5, "localhost-run", Need(seconds=2 * HOUR + 1), Here()),
    (-20, "localhost-run", Need(seconds=DAY + 1), Here()),
    (-10, "localhost-run", Need(monthly_bytes=10**9), Here()),
]


@pytest.mark.parametrize(("row", "case"), list(zip(PREFERENCES, HOLDS, strict=True)))
def test_the_reason_is_told_where_it_holds_and_moves_the_way(row, case, ask):
    points, way, need, here = case
    assert (points, way in row.ways) == (row.points, True)
    answer = next(one for one in ask(need, here).answers if one.way.id == way)
    told = {reason.why: reason.points for reason in answer.reasons}
    assert told[row.why] == points
    assert answer.points == sum(reason.points for reason in answer.reasons)


def test_answers_come_by_their_points(ask):
    for _, _, need, here in HOLDS:
        points = [answer.points for answer in ask(need, here).answers]
        assert points == sorted(points, reverse=True)


def test_what_is_wanted_for_days_is_not_first_put_where_its_address_changes(ask):
    month = Need(seconds=30 * DAY, monthly_bytes=20 * 10**9, visitor=Visitor.PROGRAM)
    first, *others = ask(month, Here(looked=True, programs=(Found("ssh"),))).answers
    assert first.way.stable_name
    assert {"localhost-run", "cloudflare-quick"} <= {each.way.id for each in others}
