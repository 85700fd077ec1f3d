"""What an origin opens to whoever looks local, and whether a visitor looks so: pure.

The same path is asked for from several standpoints. An origin that answers its own machine and
nobody else trusts something about the asker: the peer's address, or the Host. A tunnel whose
visitors get that answer has handed the trust on, and the path stands open to the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PATHS: Final = (
    *("/", "/admin", "/api/agents", "/api/config", "/api/keys", "/auth/token", "/config", "/debug"),
    *("/metrics", "/pair", "/settings", "/status", "/token", "/v1/pair"),
)
"""Where the applications of the incidents kept what they gave to their own machine alone."""

MAX_PATHS: Final = 64


class Asker(StrEnum):
    """From where a path is asked for."""

    LOCAL = "local"
    """A program of this machine: over loopback, for the origin's own name."""
    LOCAL_PEER = "local-peer"
    """Over loopback, for the public name."""
    LOCAL_HOST = "local-host"
    """From another address, for the origin's own name."""
    STRANGER = "stranger"
    """From another address, for the public name."""
    VISITOR = "visitor"
    """Through the tunnel, past its gates."""
    CLAIMANT = "claimant"
    """The same, claiming to be local in every field that proxies use."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one asker was answered."""

    status: int
    """0: no answer."""
    digest: str = ""
    """Of the body's beginning."""

    @property
    def is_open(self) -> bool:
        """The path was served; a redirect leads to a sign-in more often than not."""
        return 200 <= self.status < 300


class Finding(StrEnum):
    """What the answers mean together, best first."""

    CLOSED = "closed"
    """Not even its own machine is served."""
    OPEN = "open"
    """Whoever asks is served: nothing depends on who looks local."""
    KEPT_SHUT = "kept-shut"
    """The origin trusts its own machine, and visitors do not look like it."""
    UNTOLD = "untold"
    """There was no answer to compare with."""
    BELIEVES_CLAIMS = "believes-claims"
    """What a visitor says of himself opens it."""
    OPENED_BY_TRUST = "opened-by-trust"
    """It opens to visitors because they look local."""


ALARMING: Final = frozenset({Finding.BELIEVES_CLAIMS, Finding.OPENED_BY_TRUST})


@dataclass(frozen=True, slots=True)
class PathTrust:
    """One path, judged."""

    path: str
    finding: Finding
    trusts: tuple[str, ...]
    """What opens it to its own machine: ``peer``, ``host``; both where either is enough or only
    both together are."""
    seen: Mapping[Asker, Seen]

    def to_dict(self) -> dict[str, object]:
        """As shown to programs."""
        return {
            "path": self.path,
            "finding": str(self.finding),
            "trusts": list(self.trusts),
            "status": {str(asker): seen.status for asker, seen in self.seen.items()},
        }


def judge(path: str, seen: Mapping[Asker, Seen]) -> PathTrust:
    """Judge one path by what each asker saw; all askers must be there."""
    trusts = _trusts(seen)
    return PathTrust(path, _finding(seen, trusts), trusts, dict(seen))


def is_sound(paths: Sequence[PathTrust]) -> bool:
    """Whether no path opens to whoever looks, or claims to be, local."""
    return not any(each.finding in ALARMING for each in paths)


def _finding(seen: Mapping[Asker, Seen], trusts: tuple[str, ...]) -> Finding:
    local, visitor = seen[Asker.LOCAL], seen[Asker.VISITOR]
    if not local.status or not visitor.status or not seen[Asker.STRANGER].status:
        return Finding.UNTOLD
    if visitor.is_open:
        return Finding.OPENED_BY_TRUST if trusts else Finding.OPEN
    if seen[Asker.CLAIMANT].is_open:
        return Finding.BELIEVES_CLAIMS
    return Finding.KEPT_SHUT if trusts else Finding.CLOSED


def _trusts(seen: Mapping[Asker, Seen]) -> tuple[str, ...]:
    if not seen[Asker.LOCAL].is_open or seen[Asker.STRANGER].is_open:
        return ()
    found = []
    if seen[Asker.LOCAL_PEER].is_open:
        found.append("peer")
    if seen[Asker.LOCAL_HOST].is_open:
        found.append("host")
    return tuple(found) or ("peer", "host")
