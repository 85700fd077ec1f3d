"""What makes one fitting way better than another: rows of points, each with its reason.

Points are compared, never shown as a promise. About 30 decides a need that is made for one way, 10
to 20 weighs, under 10 breaks ties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from underpass.decide.counting import is_nearly_used_up, remaining, told
from underpass.decide.need import HOUR, Audience, Auth, Task, Traffic
from underpass.decide.rules import Case

SIGN_UP_SECONDS: Final = 120
INSTALL_SECONDS: Final = 60

MUCH: Final = 10**9
"""Bytes with which a limit of speed is felt: two hours, were it a megabit a second."""


@dataclass(frozen=True, slots=True)
class Preference:
    """A reason for, or with negative points against, some ways."""

    points: int
    ways: frozenset[str]
    holds: Callable[[Case], bool]
    why: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A preference that holds."""

    points: int
    why: str


def _ways(*identifiers: str) -> frozenset[str]:
    return frozenset(identifiers)


_NGROK = _ways("ngrok-free", "ngrok-paid")
_TAILSCALE = _ways("tailscale-serve", "tailscale-funnel")
_RELAYS = _ways("relay", "relay-tcp", "relay-reach")
_SSH_LOGIN = _ways("ssh-local", "ssh-kept", "ssh-remote")
_SERVERS = _RELAYS | {"bore-own"}


def _lasting_web_on_own_domain(case: Case) -> bool:
    return case.need.is_lasting and case.need.is_web and case.need.own_domain


def _is_open_for_long(case: Case) -> bool:
    need = case.need
    is_open = case.way.chosen(need).auth is Auth.NONE
    long = need.seconds is None or need.seconds > HOUR
    return need.audience is Audience.PUBLIC and need.task is not Task.REACH and long and is_open


def _is_server_unknown(case: Case) -> bool:
    # Who refuses third parties has said that there is a server, or will be.
    return case.here.own_server is None and not case.need.no_third_party


def _is_plain_tcp(case: Case) -> bool:
    need = case.need
    return need.traffic is Traffic.TCP and need.auth in (None, Auth.NONE) and need.no_third_party


PREFERENCES: Final = (
    Preference(
        30,
        _NGROK,
        lambda c: c.need.inspect and c.need.is_quick,
        "up in half a minute under a name that stays, so that what was registered once keeps "
        "coming, to be looked at and replayed",
    ),
    Preference(
        30,
        _ways("localhost-run"),
        lambda c: c.need.is_quick and c.need.no_install and c.need.no_signup,
        "nothing to install and nobody to sign up with: ssh is there",
    ),
    Preference(
        30,
        _ways("cloudflare-named"),
        _lasting_web_on_own_domain,
        "lasts, under your own domain, with no server to run",
    ),
    Preference(
        20,
        _ways("cloudflare-named"),
        lambda c: c.need.auth is Auth.SSO,
        "a login page for people at its edge (Access), and our OAuth for MCP clients",
    ),
    Preference(
        30,
        _ways("ngrok-free"),
        lambda c: c.need.demo and not c.need.own_domain,
        "for showing: up in half a minute, under a name that stays, for nothing",
    ),
    Preference(
        25,
        _ways("ngrok-paid"),
        lambda c: c.need.demo,
        "for showing: up in half a minute, under a domain you reserved, with no warning page",
    ),
    Preference(
        30,
        _TAILSCALE,
        lambda c: c.need.task is Task.FLEET,
        "machines find each other through NATs, and keys look after themselves",
    ),
    Preference(
        10,
        _ways("wireguard"),
        lambda c: c.need.task is Task.FLEET and c.need.no_third_party,
        "a whole network with nobody in between",
    ),
    Preference(
        30,
        _ways("ssh-local"),
        lambda c: c.need.task is Task.REACH and c.here.ssh_login is True,
        "the login is there; one command, no server software",
    ),
    Preference(
        15,
        _ways("ssh-local"),
        lambda c: c.need.task is Task.REACH and c.here.ssh_login is None,
        "where there is a login, one command does it",
    ),
    Preference(
        30,
        _ways("ssh-kept"),
        lambda c: c.need.task is Task.REACH and c.need.persistent,
        "comes back after sleep, after restarts of the far end, and of this machine",
    ),
    Preference(
        -10,
        _ways("ssh-local"),
        lambda c: c.need.task is Task.REACH and c.need.persistent,
        "ends with the session it was started in",
    ),
    Preference(
        25,
        _ways("wireguard"),
        lambda c: c.need.task is Task.REACH and c.need.persistent,
        "the inner addresses stay while the links beneath change",
    ),
    Preference(
        8,
        _ways("ssh-kept"),
        lambda c: c.need.task is Task.REACH and c.need.is_lasting,
        "it is to stay, and this one comes back",
    ),
    Preference(
        12,
        _ways("bore-own"),
        _is_plain_tcp,
        "plain TCP and nothing more: one small program on the server",
    ),
    Preference(
        15,
        _ways("bore-own", "bore-pub"),
        lambda c: c.need.unattended and c.need.traffic is Traffic.TCP and c.need.is_quick,
        "one binary, nothing to log in: made for a job that ends",
    ),
    Preference(
        6,
        _ways("bore-own"),
        lambda c: c.here.own_server is True and c.need.traffic is Traffic.TCP,
        "your own server, and a secret that guards who may open ports on it",
    ),
    Preference(
        -8, _ways("bore-own", "bore-pub"), lambda c: c.need.is_web, "plain http, without TLS"
    ),
    Preference(
        10,
        _ways("relay"),
        lambda c: c.need.no_third_party,
        "nobody in between, with TLS and a gate: relay, names and keys are yours",
    ),
    Preference(
        15,
        _RELAYS,
        lambda c: c.need.resumable,
        "exchanges in progress outlive a lost link by a minute, no byte lost",
    ),
    Preference(
        8,
        _ways("relay"),
        lambda c: c.here.own_server is True and c.need.traffic is Traffic.MCP,
        "answers that MCP clients interpret rightly while the origin is away",
    ),
    Preference(
        8,
        _RELAYS,
        lambda c: c.here.own_server is True and (c.need.streaming or c.need.silence_seconds > 0),
        "streams pass as produced, without a limit on silence",
    ),
    Preference(
        10,
        _ways("relay-reach"),
        lambda c: c.here.own_server is True and c.need.database,
        "no public port at all: the token is asked before the database is dialled",
    ),
    Preference(-25, _SERVERS, _is_server_unknown, "only with a server of yours"),
    Preference(
        -10, _SSH_LOGIN, lambda c: c.here.ssh_login is None, "only where there is a login by SSH"
    ),
    Preference(
        -15,
        _ways("ngrok-paid", "ngrok-tcp-reserved"),
        lambda c: not (c.need.own_domain or c.need.demo),
        "costs money",
    ),
    Preference(
        -5,
        _ways("localhost-run"),
        lambda c: c.need.seconds is None or c.need.seconds > 2 * HOUR,
        "its name changes after a few hours",
    ),
    Preference(
        -20,
        _ways("localhost-run", "cloudflare-quick", "bore-pub", "ngrok-tcp"),
        lambda c: c.need.is_lasting,
        "wanted for days, and its address changes with each start",
    ),
    Preference(
        -10,
        _ways("localhost-run", "tailscale-funnel"),
        lambda c: max(c.need.monthly_bytes, c.need.payload_bytes) >= MUCH,
        "limits its speed, by a number that is not published",
    ),
)


def reasons(case: Case) -> tuple[Reason, ...]:
    """All that speaks for and against the way, strongest first."""
    found = [
        Reason(row.points, row.why)
        for row in PREFERENCES
        if case.way.id in row.ways and row.holds(case)
    ]
    found += [*_from_here(case), Reason(0, case.way.suits)]
    if _is_open_for_long(case):
        found.append(Reason(-10, "has no gate for this, and is wanted for longer than an hour"))
    if case.need.is_quick and (waits := min(20, setup_seconds(case) // 15)):
        found.append(Reason(-waits, f"set-up takes {setup_seconds(case)} s of a short need"))
    return tuple(sorted(found, key=lambda reason: -reason.points))


def setup_seconds(case: Case) -> int:
    """From nothing to the first visitor: programs and sign-up included where they are missing."""
    way, here = case.way, case.here
    seconds = way.setup_seconds
    seconds += INSTALL_SECONDS * sum(here.lacks(program) for program in way.programs)
    if here.looked and way.account and way.account not in here.accounts:
        seconds += SIGN_UP_SECONDS
    return seconds * (case.need.machines if way.per_machine else 1)


def _from_here(case: Case) -> list[Reason]:
    way, here = case.way, case.here
    found: list[Reason] = []
    if way.programs and all(here.find(program) for program in way.programs):
        found.append(Reason(6, f"{' and '.join(way.programs)} is here"))
    if way.account and way.account in here.accounts:
        found.append(Reason(4, f"a credential for {way.account} is here"))
    found += [
        Reason(-20, f"only {told(fact, left)}")
        for fact, left in remaining(case)
        if is_nearly_used_up(fact, left)
    ]
    if (health := here.health_of(way.engine)) is not None:
        detail = f": {health.detail}" if health.detail else ""
        if health.healthy:
            found.append(Reason(4, f"lately measured healthy{detail}"))
        else:
            found.append(Reason(-60, f"lately measured failing{detail}"))
    return found
