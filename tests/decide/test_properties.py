"""What holds for every need: an answer or a boundary, no constraint broken, the same each time.

Which way keeps which constraint is written down here a second time, by hand, so that the table of
the ways is checked against it and not against itself.
"""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from underpass.decide.advice import advise
from underpass.decide.here import Found, Here, Left, Measured
from underpass.decide.need import DAY, HOUR, Audience, Auth, Need, Task, Traffic, Visitor
from underpass.decide.programs import PROGRAM_OF
from underpass.decide.ways import WAYS

TODAY = date(2026, 11, 23)

OURS = {"relay", "relay-tcp", "relay-reach"}
SSH = {"ssh-local", "ssh-kept", "ssh-remote"}
SERVICES = {"localhost-run", "pinggy", "pinggy-tcp"}
PAID = {"ngrok-paid", "ngrok-tcp-reserved"}
TUNNELLED = {"tailscale-serve", "wireguard"}
BARE = {"ngrok-tcp", "ngrok-tcp-reserved", "pinggy-tcp", "relay-tcp"}
"""Byte streams of strangers, as they are."""

KEEPS = {
    "no_third_party": OURS | SSH | {"bore-own", "wireguard"},
    "own_domain": OURS | {"ngrok-paid", "cloudflare-named"},
    "inspect": {way.id for way in WAYS} - {*BARE, "relay-reach", "ssh-local", "ssh-kept"},
    "resumable": OURS | TUNNELLED,
    "persistent": OURS
    | TUNNELLED
    | SSH
    | {"ngrok-free", "ngrok-paid", "cloudflare-named", "tailscale-funnel", "bore-own"}
    | {"ngrok-tcp-reserved"},
    "whole_network": TUNNELLED,
    "no_signup": {way.id for way in WAYS}
    - {"ngrok-free", "ngrok-paid", "cloudflare-named", "tailscale-serve", "tailscale-funnel"}
    - {"ngrok-tcp", "ngrok-tcp-reserved"},
    "free": {way.id for way in WAYS} - PAID,
    "streaming": {way.id for way in WAYS} - {"cloudflare-quick"},
    "database": {way.id for way in WAYS} - {"bore-own", "bore-pub"} - BARE,
    "stable_name": {way.id for way in WAYS}
    - SERVICES
    - {"bore-pub", "cloudflare-quick", "ngrok-tcp"},
    "no_install": SERVICES | SSH | {"bore-pub"},
}
PUBLIC = {
    "ngrok-free",
    "ngrok-paid",
    "cloudflare-quick",
    "cloudflare-named",
    "tailscale-funnel",
    "bore-own",
    "bore-pub",
    *SERVICES,
    *OURS,
    *BARE,
}
PRIVATE = {*SSH, *TUNNELLED, "relay-reach"}
# For HTTP; a byte stream shows nothing but its address, or a token by `underpass reach`.
BEHIND_OURS = {
    "relay",
    "tailscale-serve",
    "wireguard",
    "ssh-remote",
    *PUBLIC - BARE - {"relay-reach"},
}
LASTING_TLS = {"relay", "ngrok-free", "ngrok-paid", "cloudflare-named", "tailscale-funnel"}
GATES = {
    Auth.TOKEN: BEHIND_OURS | {"relay-reach"},
    Auth.BASIC: BEHIND_OURS,
    Auth.LINK: BEHIND_OURS,
    Auth.SIGNATURE: BEHIND_OURS,
    Auth.JWT: BEHIND_OURS,
    Auth.SSO: LASTING_TLS | {"localhost-run", "pinggy", "cloudflare-quick", "tailscale-serve"},
    Auth.CERTIFICATE: {"relay", "ngrok-paid"},
    Auth.IP: BEHIND_OURS - {"bore-own", "bore-pub", "localhost-run", "ssh-remote"} | BARE,
    Auth.KEYS: {*SSH, *TUNNELLED},
    Auth.NONE: PUBLIC - {"relay-reach"},
}
BYTES_BEHIND = {
    Auth.TOKEN: {"relay-reach"},
    Auth.IP: BARE | {"wireguard"},
    Auth.SSO: {"tailscale-serve"},
    Auth.KEYS: {*SSH, *TUNNELLED},
    Auth.NONE: BARE | {"bore-own", "bore-pub"},
}
CANNOT_PASS = {
    (Visitor.WEBHOOK, Auth.SSO),
    (Visitor.WEBHOOK, Auth.TOKEN),
    (Visitor.WEBHOOK, Auth.BASIC),
    (Visitor.HOSTED_MCP, Auth.TOKEN),
    (Visitor.HOSTED_MCP, Auth.BASIC),
    (Visitor.BROWSER, Auth.TOKEN),
}

FLAGS = [*KEEPS, "demo", "unattended"]

needs = st.builds(
    Need,
    task=st.sampled_from([*Task, Task.EXPOSE, Task.EXPOSE, Task.REACH, Task.FLEET]),
    traffic=st.sampled_from(Traffic),
    audience=st.sampled_from(Audience),
    seconds=st.sampled_from([60, HOUR, HOUR + 1, 8 * HOUR, DAY + 1, None]),
    visitor=st.sampled_from([None, *Visitor]),
    auth=st.sampled_from([None, *Auth]),
    silence_seconds=st.sampled_from([0, 0, 100, 101]),
    payload_bytes=st.sampled_from([0, 0, 10**8, 10**8 + 1, 2 * 10**9]),
    monthly_bytes=st.sampled_from([0, 0, 10**9, 10**9 + 1]),
    monthly_requests=st.sampled_from([0, 0, 20_000, 20_001]),
    machines=st.integers(1, 5),
    **{name: st.sampled_from([False, False, False, True]) for name in FLAGS},
)
heres = st.builds(
    Here,
    looked=st.booleans(),
    programs=st.lists(
        st.builds(
            Found,
            program=st.sampled_from(list(PROGRAM_OF.values())),
            why_not=st.sampled_from(["", "", "too old"]),
        ),
        unique_by=lambda found: found.program,
        max_size=4,
    ).map(tuple),
    accounts=st.frozensets(st.sampled_from(["ngrok", "cloudflare", "tailscale"])),
    own_server=st.sampled_from([None, True, False]),
    ssh_login=st.sampled_from([None, True, False]),
    left=st.sampled_from([(), (Left("ngrok-free-transfer", 5),)]),
    measured=st.sampled_from([(), (Measured("relay", False),), (Measured("ngrok", True),)]),
)


@settings(max_examples=400, deadline=None)
@given(need=needs, here=heres)
def test_every_need_gets_answers_or_a_boundary_and_never_both(need, here, quotas):
    advice = advise(need, here, quotas, TODAY)
    assert bool(advice.answers) != (advice.boundary is not None)
    for answer in advice.answers:
        assert answer.reasons
        assert answer.limits
        assert answer.gate
        assert answer.way.visitor_sees
        assert answer.setup_seconds > 0
        assert answer.plan.run
        assert answer.plan.undo
    if advice.boundary is not None:
        assert advice.boundary.why
        assert advice.boundary.use


@settings(max_examples=600, deadline=None)
@given(need=needs, here=heres)
def test_no_answer_breaks_a_constraint(need, here, quotas):
    ways = {answer.way.id for answer in advise(need, here, quotas, TODAY).answers}
    for constraint, keeping in KEEPS.items():
        if getattr(need, constraint):
            excused = _excused(constraint, here)
            assert ways - excused <= keeping, constraint
    if need.auth is not None:
        assert ways <= GATES[need.auth]
        if not need.is_web:
            assert ways <= BYTES_BEHIND.get(need.auth, set())
    if need.task is not Task.REACH:
        assert ways <= (PUBLIC if need.audience is Audience.PUBLIC else PRIVATE)
        if (need.visitor, need.auth) in CANNOT_PASS:
            assert ways - {"tailscale-serve"} == set()
    if here.own_server is False:
        assert not ways & {*OURS, "bore-own"}
    if here.ssh_login is False:
        assert not ways & SSH
    if need.silence_seconds > 100 or need.payload_bytes > 10**8:
        assert not ways & {"cloudflare-quick", "cloudflare-named"}
    if need.monthly_bytes > 10**9 or need.monthly_requests > 20_000:
        assert "ngrok-free" not in ways
    if need.monthly_bytes > 10**9:
        assert "ngrok-tcp" not in ways
    if need.seconds is None or need.seconds > HOUR:
        assert not ways & {"pinggy", "pinggy-tcp"}
        if need.auth is Auth.NONE:
            assert not ways & PUBLIC


def _excused(constraint, here):
    """The ways that what is here lets keep the constraint after all."""
    if constraint == "no_signup":
        return {w.id for w in WAYS if w.account in here.accounts} - PAID
    if constraint == "no_install":
        return {w.id for w in WAYS if all(here.find(p) for p in w.programs) and not w.own_server}
    return set()


ONE_MORE = [
    *({name: True} for name in KEEPS),
    {"auth": Auth.SSO},
    {"auth": Auth.TOKEN},
    {"auth": Auth.NONE},
    {"visitor": Visitor.WEBHOOK},
    {"visitor": Visitor.HOSTED_MCP},
    {"seconds": None},
    {"silence_seconds": 101},
    {"payload_bytes": 2 * 10**9},
    {"monthly_bytes": 2 * 10**9},
    {"monthly_requests": 20_001},
]


@pytest.mark.parametrize("more", ONE_MORE, ids=lambda more: str(*more.items()))
@settings(max_examples=60, deadline=None)
@given(need=needs, here=heres)
def test_one_more_constraint_never_brings_a_new_answer(more, need, here, quotas):
    unset = {
        name: None if name in ("auth", "visitor") else type(value)()
        for name, value in more.items()
        if name != "seconds"
    } | ({"seconds": HOUR} if "seconds" in more else {})
    before = dataclasses.replace(need, **unset)
    after = dataclasses.replace(need, **more)
    had = advise(before, here, quotas, TODAY)
    has = {answer.way.id for answer in advise(after, here, quotas, TODAY).answers}
    if had.boundary is not None and had.boundary.code == "database-in-public":
        return  # saying who may pass is what lifts this boundary
    assert has <= {answer.way.id for answer in had.answers}


@settings(max_examples=150, deadline=None)
@given(need=needs, here=heres)
def test_the_same_facts_give_the_same_advice_in_whatever_order_they_were_found(need, here, quotas):
    turned = dataclasses.replace(here, programs=tuple(reversed(here.programs)))
    assert advise(need, here, quotas, TODAY) == advise(need, here, quotas, TODAY)
    first, second = (advise(need, one, quotas, TODAY) for one in (here, turned))
    assert [a.way.id for a in first.answers] == [a.way.id for a in second.answers]


def test_every_way_is_the_first_answer_to_some_need(ask):
    """One that never is has no place in the table, or a reason is missing."""
    firsts = {
        "ngrok-free": Need(inspect=True),
        "ngrok-paid": Need(demo=True, own_domain=True),
        "cloudflare-named": Need(seconds=None, own_domain=True),
        "localhost-run": Need(seconds=HOUR),
        "pinggy": Need(seconds=HOUR, no_install=True, auth=Auth.IP),
        "pinggy-tcp": Need(traffic=Traffic.TCP, seconds=HOUR, no_install=True, auth=Auth.IP),
        "ngrok-tcp": Need(traffic=Traffic.TCP),
        "ngrok-tcp-reserved": Need(traffic=Traffic.TCP, stable_name=True),
        "tailscale-funnel": Need(task=Task.FLEET, machines=2),
        "relay": Need(resumable=True),
        "bore-own": Need(no_third_party=True, traffic=Traffic.TCP),
        "bore-pub": Need(traffic=Traffic.TCP, unattended=True, seconds=HOUR),
        "relay-tcp": Need(no_third_party=True, traffic=Traffic.TCP, auth=Auth.IP),
        "relay-reach": Need(traffic=Traffic.TCP, auth=Auth.TOKEN),
        "tailscale-serve": Need(task=Task.FLEET, audience=Audience.PRIVATE),
        "wireguard": Need(task=Task.FLEET, audience=Audience.PRIVATE, no_third_party=True),
    }
    for way, need in firsts.items():
        assert ask(need).answers[0].way.id == way
    reach = Need(task=Task.REACH, traffic=Traffic.TCP)
    login = Here(ssh_login=True)
    assert ask(reach, login).answers[0].way.id == "ssh-local"
    assert ask(dataclasses.replace(reach, persistent=True), login).answers[0].way.id == "ssh-kept"
    private = Need(audience=Audience.PRIVATE, no_signup=True)
    assert ask(private, login).answers[0].way.id == "ssh-remote"
    quick = Here(looked=True, programs=(Found("cloudflared"),))
    assert ask(Need(seconds=HOUR), quick).answers[0].way.id == "cloudflare-quick"
    covered = {*firsts, "ssh-local", "ssh-kept", "ssh-remote", "cloudflare-quick"}
    assert covered == {way.id for way in WAYS}
