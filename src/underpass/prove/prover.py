"""The prover of one tunnel: carries out what the schedule asks and tells what the evidence says.

A thin shell. It decides nothing about times (``schedule``) nor about truth (``verdicts``); it owns
the tasks of running probes and one timer, on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from underpass.drivers.base import LinkView
from underpass.gatehouse.books import ExchangeRecord
from underpass.model.verdict import Layer, LayerStatus, Verdict
from underpass.prove.clock import Clock, Timer
from underpass.prove.probes import Probes
from underpass.prove.schedule import Action, Schedule
from underpass.prove.verdicts import Evidence, Outcome

log = logging.getLogger(__name__)

ORIGIN_MISSED: Final = frozenset({"origin-away", "origin-speaks-tls"})
"""Codes of an exchange that met no origin: the verdict flips when one is seen."""

ORIGIN_DOUBTED: Final = frozenset({"origin-broke", "origin-malformed", "origin-incomplete"})
"""Codes of one answer that went wrong: a reason to probe, not yet a verdict on the origin."""


class Prover:
    """Keeps the verdict on one tunnel true. ``start`` it once, ``close`` it in the end.

    ``on_verdict`` is called with every verdict worth a look: after each probe, and at once when the
    link or the origin changes. It may be the same as the one before, and must not raise.
    """

    def __init__(
        self,
        probes: Probes,
        schedule: Schedule,
        evidence: Evidence,
        clock: Clock,
        *,
        on_verdict: Callable[[Verdict], None],
        spares_origin: bool = False,
    ) -> None:
        """``spares_origin``: periodic probes end at the gatehouse (tcp without ``--health tcp``);
        they go on to the origin only until it was met, and again after it was missed."""
        self._probes = probes
        self._schedule = schedule
        self._evidence = evidence
        self._clock = clock
        self._on_verdict = on_verdict
        self._spares_origin = spares_origin
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._runs = False
        self._is_well = False

    def start(self) -> None:
        """Begin: the first probe and the first closed check start now."""
        self._runs = True
        self._tick()

    async def close(self) -> None:
        """Stop; running probes are given up and leave nothing open. Idempotent."""
        self._runs = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def verdict(self) -> Verdict:
        """What is true now, from what is known."""
        return self._evidence.verdict(self._clock.now(), self._clock.unix())

    async def prove(self) -> Verdict:
        """Run a probe and a closed check now, whatever the schedule says; the verdict after them.

        Both are given up when the caller is cancelled.
        """
        probes = [self._probes.live()]
        if self._schedule.checks_closed:
            probes.append(self._probes.closed())
        for outcome in await asyncio.gather(*probes):
            self._evidence.probed(outcome)
        return self._publish()

    def link_changed(self, view: LinkView) -> None:
        """The engine says how its link is."""
        now = self._clock.now()
        self._evidence.link_changed(view, now)
        self._schedule.doubt(now)
        self._publish()
        self._tick()

    def exchange_ended(self, record: ExchangeRecord) -> None:
        """The gatehouse has ended a visitor's exchange. Called for every one: cheap when well."""
        now = self._clock.now()
        if not record.code:
            if record.first_byte is None:
                return
            self._evidence.exchange_completed(now)
            self._schedule.exchange_completed(now)
            if self._is_well:
                return
        elif record.code in ORIGIN_MISSED:
            self._evidence.origin_missed(record.code, "the origin does not answer", now)
            if self._is_well:
                self._schedule.doubt(now)
        elif record.code in ORIGIN_DOUBTED:
            self._schedule.doubt(now)
        elif record.first_byte is not None and not self._is_well:
            # It ended otherwise, most often because the visitor left; the origin had answered.
            self._evidence.origin_met(now)
        else:
            return
        self._publish()
        self._tick()

    def _publish(self) -> Verdict:
        verdict = self.verdict()
        self._is_well = verdict.ok
        if self._runs:
            self._on_verdict(verdict)
        return verdict

    def _tick(self) -> None:
        """Start what is due and set the timer for what is due next."""
        if not self._runs:
            return
        now = self._clock.now()
        for action in self._schedule.tick(now):
            task = asyncio.get_running_loop().create_task(
                self._carry_out(action), name=f"underpass: {action} proof"
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._timer is not None:
            self._timer.cancel()
        deadlines = (self._schedule.next_deadline(), self._evidence.next_deadline(now))
        soonest = min((at for at in deadlines if at is not None), default=None)
        self._timer = None if soonest is None else self._clock.call_at(soonest, self._time_came)

    def _time_came(self) -> None:
        self._timer = None
        # Time alone can only take a good verdict away: a proof that has gone stale.
        if self._is_well and not self.verdict().ok:
            self._publish()
        self._tick()

    async def _carry_out(self, action: Action) -> None:
        is_ok = False
        try:
            outcome = await self._probe(action)
            is_ok = outcome.failed is None
            self._evidence.probed(outcome)
        except Exception:
            log.exception("a %s proof broke", action)
        self._schedule.finished(action, ok=is_ok, now=self._clock.now())
        self._publish()
        self._tick()

    async def _probe(self, action: Action) -> Outcome:
        if action is Action.CLOSED:
            return await self._probes.closed()
        return await self._probes.live(reach_origin=self._must_reach_origin())

    def _must_reach_origin(self) -> bool:
        if not self._spares_origin:
            return True
        return self.verdict().layers[Layer.ORIGIN].status is not LayerStatus.PASSED
