"""What the user allows at most, whatever a project, an agent or a command line asks for.

    # policy.toml, in the user's configuration directory; others must not be able to write it
    public_limit = "4h"      # how long --public may last (default 1h)
    longest_lease = "24h"    # how long any tunnel may last (default: no limit but the grammar's)
    allow_public = false     # no tunnel and no path without a gate (default true)
    accept_danger = false    # what preflight finds dangerous stays shut (default true)
    capture = "heads"        # record at most this of exchanges: full (default), heads, off

A missing file is the default policy. A policy can be narrowed by another, never widened.
"""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from underpass.guard.errors import PolicyInvalid
from underpass.model.duration import LONGEST, format_duration, parse_duration
from underpass.model.errors import Refused
from underpass.model.errors_run import ForeignOwner, LooseMode
from underpass.model.errors_spec import DurationInvalid
from underpass.model.rules import PUBLIC_LIMIT
from underpass.model.spec import TunnelSpec

CAPTURES: Final = ("off", "heads", "full")
"""What may be recorded, the least first."""


@dataclass(eq=False)
class PolicyForbids(Refused):
    """The user's own policy says no."""

    what: str
    rule: str

    code = "policy-forbids"
    sentence = "cannot open {what}: the policy says {rule}"
    hint_text = "ask for less, or change policy.toml by hand"


@dataclass(frozen=True, slots=True)
class Policy:
    """Upper limits."""

    public_limit: int = PUBLIC_LIMIT
    """Seconds that ``--public`` may last."""
    longest_lease: int = LONGEST
    """Seconds that any tunnel may last, from opening or renewal to its end."""
    allow_public: bool = True
    capture: str = CAPTURES[-1]
    """The most that may be recorded of exchanges."""
    accept_danger: bool = True
    """Whether a reason may open what preflight finds dangerous."""

    def check(self, spec: TunnelSpec) -> None:
        """Validate ``spec`` and hold it against the policy; raises the first error found."""
        if spec.public and not self.allow_public:
            raise PolicyForbids(what="a public tunnel", rule="allow_public = false")
        if not self.allow_public and any(rule.is_open for rule in spec.rules):
            raise PolicyForbids(what="paths without a gate", rule="allow_public = false")
        spec.validate(public_limit=self.public_limit)
        self.check_seconds(spec, spec.lease.seconds)

    def check_reason(self, reason: str) -> None:
        """Whether danger may be accepted for ``reason``, if there is one; raises
        ``PolicyForbids``."""
        if reason and not self.accept_danger:
            raise PolicyForbids(what="what preflight refuses", rule="accept_danger = false")

    def check_seconds(self, spec: TunnelSpec, seconds: int) -> None:
        """Whether ``spec`` may last (or be renewed for) ``seconds``; raises ``PolicyForbids``."""
        limit = self.longest_lease
        if spec.public:
            limit = min(limit, self.public_limit)
        if seconds > limit:
            what = f"a tunnel for {format_duration(seconds)}"
            raise PolicyForbids(what=what, rule=f"at most {format_duration(limit)}")

    def narrowed(self, other: Policy) -> Policy:
        """The policy that allows what both allow."""
        return Policy(
            min(self.public_limit, other.public_limit),
            min(self.longest_lease, other.longest_lease),
            self.allow_public and other.allow_public,
            self.narrow_capture(other.capture),
            self.accept_danger and other.accept_danger,
        )

    def narrow_capture(self, wished: str) -> str:
        """What may be recorded of what is ``wished`` for."""
        return min(self.capture, wished, key=CAPTURES.index)


def load_policy(path: Path) -> Policy:
    """Read a policy file. Raises ``PolicyInvalid``, ``LooseMode`` or ``ForeignOwner``."""
    try:
        with path.open("rb") as file:
            _judge(path, os.fstat(file.fileno()))
            table = tomllib.load(file)
    except FileNotFoundError:
        return Policy()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyInvalid(path=str(path), mistakes=str(error)) from None
    return parse_policy(table, path=str(path))


def parse_policy(table: dict[str, object], *, path: str) -> Policy:
    """The policy that ``table`` holds; names all mistakes together in ``PolicyInvalid``."""
    seconds = {"public_limit": PUBLIC_LIMIT, "longest_lease": LONGEST}
    allowed, mistakes = {"allow_public": True, "accept_danger": True}, []
    capture = CAPTURES[-1]
    for key, value in table.items():
        if key in seconds and isinstance(value, str):
            try:
                seconds[key] = parse_duration(value)
            except DurationInvalid as error:
                mistakes.append(f"{key}: {error}")
        elif key in allowed and isinstance(value, bool):
            allowed[key] = value
        elif key == "capture" and value in CAPTURES:
            capture = str(value)
        elif key == "capture":
            mistakes.append(f"capture: write one of {', '.join(CAPTURES)} in quotes")
        elif key in seconds:
            mistakes.append(f'{key}: write a duration in quotes, like "2h"')
        elif key in allowed:
            mistakes.append(f"{key}: write true or false")
        else:
            mistakes.append(f"{key}: there is no such rule")
    if mistakes:
        raise PolicyInvalid(path=path, mistakes="; ".join(mistakes))
    return Policy(
        seconds["public_limit"],
        seconds["longest_lease"],
        allowed["allow_public"],
        capture,
        allowed["accept_danger"],
    )


def _judge(path: Path, status: os.stat_result) -> None:
    """Others may read a policy, but not write it; root may own it, for everybody."""
    if status.st_uid not in {os.geteuid(), 0}:
        raise ForeignOwner(path=str(path), owner=status.st_uid)
    if status.st_mode & 0o022:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise LooseMode(path=str(path), mode=mode, wanted="0644")
