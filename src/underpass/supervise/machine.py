"""The life of one tunnel: what happens goes in, the state changes by the table, events come out.

Pure. The table of states is ``model.lifecycle``; here stands what triggers a row of it and what
the world is told. An event is told when something changed for whoever watches: every proof that
passes on a live tunnel is not news.
"""

from __future__ import annotations

from typing import Final

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.events import (
    AddressChanged,
    InstanceSuperseded,
    LeaseEnded,
    LeaseRenewed,
    LinkLost,
    LinkRestored,
    ProofFailed,
    ProofPassed,
    TunnelChange,
    TunnelClosed,
    TunnelOpened,
)
from underpass.model.lifecycle import Trigger, TunnelState, after
from underpass.model.verdict import Layer, LayerStatus, Verdict
from underpass.supervise.lease import LeaseEnd

Changes = tuple[TunnelChange, ...]

_ENDINGS: Final = {
    "superseded": Trigger.SUPERSEDED,
    "lease-expired": Trigger.LEASE_ENDED,
}
"""Codes of an ended link that are not a mere closing."""


class Machine:
    """State, newest verdict and history of one tunnel. ``at`` is unix time throughout.

    Every method returns the events to publish, in order. After ``closed`` nothing may come.
    """

    def __init__(self) -> None:
        self.state = TunnelState.OPENING
        self.verdict: Verdict | None = None
        """The newest; None before the first proof has ended."""
        self.reason = ""
        """Why it closes or closed; "" before."""
        self._fault: tuple[Layer, str] | None = None
        self._link_lost_at: float | None = None

    @property
    def is_ending(self) -> bool:
        """Whether it is closing or closed."""
        return self.state in (TunnelState.CLOSING, TunnelState.CLOSED)

    def carried(self, at: float) -> Changes:
        """An engine carries the tunnel: its public address is known."""
        before = self.state
        self._follow(Trigger.CARRIED)
        return (TunnelOpened(at),) if before is TunnelState.OPENING else ()

    def link_changed(self, view: LinkView, at: float) -> Changes:
        """The engine says how its link is."""
        if self.is_ending:
            return ()
        if view.phase is LinkPhase.ENDED:
            return self._ended_by_engine(view, at)
        if view.phase is LinkPhase.LOST:
            self._follow(Trigger.LINK_LOST)
            if self._link_lost_at is not None:
                return ()
            self._link_lost_at = at
            return (LinkLost(at, view.code or "link-lost"),)
        if view.phase is LinkPhase.ATTACHED and self._link_lost_at is not None:
            away = at - self._link_lost_at
            self._link_lost_at = None
            return (LinkRestored(at, max(0.0, away)),)
        return ()

    def judged(self, verdict: Verdict) -> Changes:
        """There is a new verdict; it may say the same as the last."""
        self.verdict = verdict
        if self.is_ending:
            return ()
        before = self.state
        if verdict.ok:
            self._follow(Trigger.PROOF_PASSED)
            self._fault = None
            return () if before is TunnelState.LIVE else (ProofPassed(verdict.at, verdict),)
        fault = _fault_of(verdict, before)
        if fault is None or (before is TunnelState.FAILING and fault == self._fault):
            return ()
        self._follow(Trigger.PROOF_FAILED)
        self._fault = fault
        return (ProofFailed(verdict.at, *fault, verdict),)

    def moved(self, address: str, at: float) -> Changes:
        """The public side gave another address: what was proved of the old one says nothing."""
        if self.is_ending:
            return ()
        self._follow(Trigger.LINK_LOST)
        self._fault = None
        self.verdict = None
        return (AddressChanged(at, address),)

    def renewed(self, ends_at: float, at: float) -> Changes:
        """The lease's end was moved."""
        return (LeaseRenewed(at, ends_at),)

    def lease_ended(self, why: LeaseEnd, at: float) -> Changes:
        """The tunnel's time is over. What follows is closing."""
        if not self._begin_end(Trigger.LEASE_ENDED, str(why)):
            return ()
        return (LeaseEnded(at, why is LeaseEnd.IDLE),)

    def close(self, reason: str) -> Changes:
        """Somebody wants it closed. Idempotent; the first reason stays."""
        self._begin_end(Trigger.CLOSE, reason)
        return ()

    def released(self, at: float) -> Changes:
        """Nothing of it is left: the last event."""
        if self.state is TunnelState.CLOSED:
            return ()
        self._follow(Trigger.RELEASED)
        return (TunnelClosed(at, self.reason),)

    def _ended_by_engine(self, view: LinkView, at: float) -> Changes:
        trigger = _ENDINGS.get(view.code, Trigger.CLOSE)
        self._begin_end(trigger, view.code or "link-ended")
        if trigger is Trigger.SUPERSEDED:
            return (InstanceSuperseded(at),)
        if trigger is Trigger.LEASE_ENDED:
            return (LeaseEnded(at, idle=False),)
        return ()

    def _begin_end(self, trigger: Trigger, reason: str) -> bool:
        if self.is_ending:
            return False
        self._follow(trigger)
        self.reason = reason
        return True

    def _follow(self, trigger: Trigger) -> None:
        self.state = after(self.state, trigger)


def _fault_of(verdict: Verdict, state: TunnelState) -> tuple[Layer, str] | None:
    """Layer and code at fault. A verdict that only does not know yet is no failure, except to a
    live tunnel, which must be known to be well."""
    if verdict.layer is not None:
        return verdict.layer, verdict.layers[verdict.layer].code
    if state is not TunnelState.LIVE:
        return None
    unknown = (LayerStatus.UNKNOWN, LayerStatus.SKIPPED)
    layer = next(layer for layer, result in verdict.layers.items() if result.status in unknown)
    return layer, "unproven"
