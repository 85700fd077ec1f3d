"""What is changed at Cloudflare for a tunnel: looked at first, told, made, and undone.

A step is idempotent: it looks, and makes only what is not there as wanted. It undoes what it made
itself and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verb(StrEnum):
    """What happens to a thing."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing, and what happens to it."""

    verb: Verb
    what: str

    def __str__(self) -> str:
        return f"{self.verb} {self.what}"


class Step(Protocol):
    """One subject at Cloudflare."""

    async def look(self) -> tuple[Change, ...]:
        """What ``apply`` would do now; nothing is changed. Raises the errors of the API, and
        ``NameTaken``."""

    async def apply(self) -> None:
        """Do it. Raises the same; what was half done is undone by ``undo``."""

    async def undo(self) -> None:
        """Take back what ``apply`` of this very step did. Idempotent."""


@dataclass(frozen=True, slots=True)
class TunnelIdentity:
    """Which tunnel it is."""

    account: str
    tunnel: str

    @property
    def target(self) -> str:
        """Where names of this tunnel lead in DNS."""
        return f"{self.tunnel}.cfargotunnel.com"
