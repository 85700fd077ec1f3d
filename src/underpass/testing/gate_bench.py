"""What the conformance suite of gates needs to know of one gate: fill in and hand to the suite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from underpass.guard.gates import (
    Deny,
    Forged,
    Gate,
    GateMaker,
    Materials,
    NeedsBody,
    Outcome,
    Pass,
    Peer,
    forge,
)
from underpass.guard.secrets import Secret
from underpass.http.messages import Headers, RequestHead
from underpass.model.gates import parse_gate

STRANGER = Peer("198.51.100.77", 4711, secure=True)
"""An address of documentation (RFC 5737): nobody has it, and no gate should know it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One request, as a visitor sends it."""

    headers: Headers = field(default_factory=list)
    body: bytes = b""
    target: bytes = b"/"
    method: bytes = b"POST"
    peer: Peer = STRANGER

    @property
    def head(self) -> RequestHead:
        """Its head, as the strict reader would make it."""
        host, size = b"tools.example.com", len(self.body)
        return RequestHead(self.method, self.target, host, list(self.headers), size)

    def with_headers(self, headers: Headers) -> Shown:
        """The same with other fields."""
        return replace(self, headers=headers)


class GateBench(ABC):
    """One gate under test. Subclass it; what has a default need not be said."""

    text: str
    """The gate's text, as after ``--gate``."""
    hidden: tuple[bytes, ...] = ()
    """What must show nowhere: secrets, and credentials that can be used again."""
    asks_path = False
    """The credential stands in the path (``link``)."""
    asks_peer = False
    """It judges who calls, not what is sent (``ip``, ``mtls``)."""
    maker: GateMaker | None = None
    """Makes a gate that is not installed; None for one that ``forge`` finds by itself."""

    @abstractmethod
    def honest(self) -> Shown:
        """A request that must pass: a fresh one each time, where a credential is good once."""

    def secrets(self) -> Mapping[str, Secret]:
        """Secrets for gates that would else get fresh ones."""
        return {}

    def materials(self) -> Materials:
        """What the gate is made of."""
        return Materials()

    def forge(self) -> Forged:
        """A guard of this gate alone."""
        spec = parse_gate(self.text)
        return forge(
            [spec],
            secrets=self.secrets(),
            makers={} if self.maker is None else {spec.kind: self.maker},
            materials=self.materials(),
        )

    def make(self) -> Gate:
        """The gate itself."""
        return self.forge().gates[self.text]


async def judged(gate: Gate, shown: Shown) -> Pass | Deny:
    """The verdict on a request, with all that it takes: what a gatehouse does."""
    return await settled(gate.judge(shown.head, shown.peer), shown.body)


async def settled(outcome: Outcome, body: bytes) -> Pass | Deny:
    """The verdict that comes of ``outcome``, for a request with ``body``."""
    while not isinstance(outcome, (Pass, Deny)):
        if isinstance(outcome, NeedsBody):
            outcome = (
                Deny(413, "body-too-large") if len(body) > outcome.limit else (outcome.decide(body))
            )
        else:
            outcome = await outcome.wait()
    return outcome
