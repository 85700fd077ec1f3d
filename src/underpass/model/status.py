"""What anybody may ask of a tunnel: one snapshot, and the JSON object made of it."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.lifecycle import Trigger, TunnelState, after
from underpass.model.origin import Kind
from underpass.model.verdict import Verdict

__all__ = ["Lease", "Trigger", "TunnelState", "TunnelStatus", "after"]


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that runs."""

    owner: str
    purpose: str
    ends_at: float
    """Hard end, unix seconds."""

    def to_dict(self) -> dict[str, object]:
        """The object under ``"lease"``."""
        return {"owner": self.owner, "purpose": self.purpose, "ends_at": self.ends_at}


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """One tunnel at one moment. Holds no secret."""

    name: str
    url: str | None
    """Public address; None before the first passed proof, and for a tunnel met by reach only."""
    kind: Kind
    state: TunnelState
    gates: tuple[str, ...]
    """Texts of the gates and rules; empty with ``--public``, or ``public`` before its rules."""
    lease: Lease
    engine: str
    """The engine that carries it now."""
    verdict: Verdict | None = None
    """The newest; None before the first proof has ended."""

    def tunnel_dict(self) -> dict[str, object]:
        """The object under ``"tunnel"``."""
        return {
            "name": self.name,
            "url": self.url,
            "kind": str(self.kind),
            "state": str(self.state),
            "gates": list(self.gates),
            "lease": self.lease.to_dict(),
            "engine": self.engine,
        }

    def to_dict(self) -> dict[str, object]:
        """``{"tunnel": {…}, "verdict": {…} | None}``, as every ``--json`` answer carries it."""
        verdict = None if self.verdict is None else self.verdict.to_dict()
        return {"tunnel": self.tunnel_dict(), "verdict": verdict}
