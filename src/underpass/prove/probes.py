"""What a prober of any kind offers, and how a tunnel makes itself known in its proofs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from underpass.prove.verdicts import Outcome


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose proofs these are. The gatehouse has the same three."""

    name: str
    instance: str
    """This run of the connector."""
    key: bytes = field(repr=False)
    """32 bytes that only this tunnel's own processes know."""


class Probes(Protocol):
    """Goes through the public door of one tunnel. Never raises but for cancellation."""

    async def live(self, *, reach_origin: bool = True) -> Outcome:
        """Send a nonce to the gatehouse, and on to the origin, and back."""

    async def closed(self) -> Outcome:
        """Come as a stranger, who must be refused. Not asked of a ``--public`` tunnel."""
