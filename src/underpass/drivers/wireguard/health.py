"""What is the matter with one peer: from facts to a finding. Pure.

WireGuard says nothing about what it refuses, so a silence has to be read: whether the two ever
shook hands, whether what is asked inside the tunnel is answered, whether the far host answers
outside it, and whether this device was called with a key that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FRESH_SECONDS: Final = 5.0
"""Probes go each second: this many were lost in a row. A lost link has to show within 10 s."""

HEARD_SECONDS: Final = 17.0
"""A peer that answers no pings is heard at least so often: what it does not acknowledge for 15 s
(KEEPALIVE_TIMEOUT and REKEY_TIMEOUT) makes us shake hands anew, which it has to answer."""

SHAKING_SECONDS: Final = 6.0
# A first try, and a second one after 5 s (REKEY_TIMEOUT).

REJECT_SECONDS: Final = 180.0
# REJECT_AFTER_TIME: no session is older.


class OuterPath(StrEnum):
    """What the far host's own address said, outside the tunnel."""

    UNTRIED = "untried"
    ANSWERED = "answered"
    """It answered a ping."""
    REFUSED = "refused"
    """Its port, or a router on the way, said that nobody is there."""
    SILENT = "silent"


class Code(StrEnum):
    """What a peer may be like."""

    LIVE = "live"
    IDLE = "idle"
    SHAKING = "shaking-hands"
    WAITING = "waiting"
    NEVER = "never-handshook"
    WRONG_KEY = "wrong-key"
    PATH_BLOCKED = "path-blocked"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one peer at one moment; times are ages in seconds."""

    handshake_age: float | None = None
    """None: never."""
    answered_age: float | None = None
    """Since the last probe inside the tunnel was answered; None: none was, ever."""
    received_age: float | None = None
    """Since its counter of received bytes last grew; None: never."""
    asking: float = 0.0
    """For how long it has been asked without an answer; 0: it is not asked."""
    has_endpoint: bool = True
    path: OuterPath = OuterPath.UNTRIED
    rejected: bool = False
    """This device was lately called from there with a key it does not know, or the other way
    about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome, in words for people."""

    code: Code
    detail: str = ""
    hint: str = ""
    is_guess: bool = False
    """Not seen, only not refuted yet: one lost probe is no news, and no proof either."""

    @property
    def is_live(self) -> bool:
        """Whether traffic can be expected to pass."""
        return self.code in (Code.LIVE, Code.IDLE)

    @property
    def is_final(self) -> bool:
        """Whether it will not mend by waiting."""
        return self.code is Code.WRONG_KEY


def judge(facts: Facts) -> Finding:
    """What the facts mean."""
    if facts.answered_age is not None and facts.answered_age < FRESH_SECONDS:
        return Finding(Code.LIVE)
    never_answers = facts.answered_age is None
    heard = facts.received_age is not None and facts.received_age < HEARD_SECONDS
    if never_answers and heard and _is_young(facts.handshake_age):
        # A host that answers no pings is not a dead one.
        return Finding(Code.LIVE)
    if facts.rejected:
        return Finding(
            Code.WRONG_KEY,
            "the two do not know each other by the keys they use",
            "compare the public keys at both ends: underpass wg show FILE",
        )
    return _never(facts) if facts.handshake_age is None else _silent(facts)


def _never(facts: Facts) -> Finding:
    if not facts.has_endpoint:
        return Finding(
            Code.WAITING,
            "it has no endpoint and has not called yet",
            "start it there, or give it an endpoint",
        )
    if facts.asking < SHAKING_SECONDS:
        return Finding(Code.SHAKING, "the first handshake is under way")
    if facts.path is OuterPath.ANSWERED:
        return Finding(
            Code.WRONG_KEY,
            "its host answers, its WireGuard does not: it knows us by another key, or we know it "
            "by another, or UDP is blocked on the way",
            "compare the public keys at both ends: underpass wg show FILE",
        )
    if facts.path is not OuterPath.UNTRIED:
        return _blocked(facts)
    return Finding(
        Code.NEVER, "no handshake was ever answered", "check its endpoint and that it runs"
    )


def _silent(facts: Facts) -> Finding:
    if not facts.asking and not _is_young(facts.handshake_age):
        return Finding(Code.IDLE, "nothing was sent for a while")
    if facts.asking < FRESH_SECONDS:
        return Finding(Code.LIVE, is_guess=True)
    if facts.path is OuterPath.SILENT:
        return _blocked(facts)
    age = facts.handshake_age or 0.0
    words = f"the last handshake was {age:.0f} s ago, and nothing is answered since"
    if facts.path is OuterPath.REFUSED:
        words = f"its WireGuard has gone; {words}"
    elif facts.path is OuterPath.ANSWERED:
        words = f"its host answers, its WireGuard does not; {words}"
    return Finding(
        Code.STALE, words, "check that WireGuard runs there, and whether its key changed"
    )


def _blocked(facts: Facts) -> Finding:
    if facts.path is OuterPath.REFUSED:
        return Finding(
            Code.PATH_BLOCKED,
            "nobody listens at its endpoint, or a router refuses the way",
            "check its endpoint, its port, and that it runs",
        )
    return Finding(
        Code.PATH_BLOCKED,
        "its host does not answer at all",
        "check the network between, its address, and firewalls for UDP",
    )


def _is_young(age: float | None) -> bool:
    return age is not None and age < REJECT_SECONDS
