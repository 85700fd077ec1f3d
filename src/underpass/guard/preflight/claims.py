"""``oauth:origin`` with no OAuth behind it: what a token that nobody gave out has opened. Pure.

That gate asks for a token and lets the origin judge it. An origin that judges none is open to
whoever sends one, so the questions are put with one that is made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from underpass.guard.preflight.findings import Finding
from underpass.http.messages import Headers

HOW: Final = ", with a made-up token"
"""Behind the question, in a finding that came of it."""

HINT: Final = (
    "use --gate oauth, whose tokens are judged here, or bearer; oauth:origin is for an origin with "
    "an OAuth of its own"
)


def claim(chance: str) -> Headers:
    """The field of a visitor with a token that nobody gave out; ``chance`` is random."""
    return [(b"Authorization", f"Bearer underpass-preflight-{chance}".encode("ascii"))]


def finding_of_claim(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is said first, where a made-up token has opened anything."""
    return tuple(ignored(each.where, each.seen) for each in findings if each.where.endswith(HOW))[
        :1
    ]


def ignored(where: str, seen: str) -> Finding:
    """What is said of an origin that took a made-up token."""
    what = "an origin without OAuth of its own, which any made-up token opens"
    return Finding("oauth-origin-missing", what, where, seen, HINT)
