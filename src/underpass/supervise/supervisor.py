"""Keeping one tunnel as it was wanted: opened, proved, watched, renewed, closed without a trace.

A thin shell around the machine, the lease clock and the prover. It owns what a tunnel is made of
(engine, gatehouse, prover, perhaps the origin's own process) and gives all of it back, whichever
way the tunnel ends. Satisfies what ``api`` asks of the keeper of a tunnel.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from underpass.drivers.base import Engine, LinkPhase, LinkView, Opened, Redials
from underpass.gatehouse.books import ExchangeRecord
from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import LeaseExpired
from underpass.model.errors_run import NoSuchTunnel
from underpass.model.events import QuotaWarning, SignInWaiting, TunnelChange
from underpass.model.lifecycle import TunnelState
from underpass.model.spec import TunnelSpec
from underpass.model.status import Lease, TunnelStatus
from underpass.model.verdict import Verdict, judge
from underpass.prove.clock import Clock, SystemClock, Timer
from underpass.prove.prover import Prover
from underpass.relay.protocol.backoff import Backoff
from underpass.supervise.changes import Broadcast, Subscription
from underpass.supervise.child import Child
from underpass.supervise.doubt import LinkDoubt
from underpass.supervise.giving_back import attempt, give_back
from underpass.supervise.lease import LeaseClock
from underpass.supervise.machine import Changes, Machine
from underpass.supervise.parts import House, Parts
from underpass.supervise.proving import make_prover
from underpass.supervise.reasons import is_hopeless, why_ended, why_not_opened, why_not_proved

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 30.0
"""The lease is looked at this often at least: timers stand still while the machine sleeps."""


class Supervisor:
    """One tunnel, from ``open`` to ``close``. Everything happens on one event loop."""

    def __init__(
        self,
        spec: TunnelSpec,
        engine: Engine,
        parts: Parts,
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        check_renewal: Callable[[int], None] = lambda seconds: None,
        reach: Mapping[str, object] | None = None,
    ) -> None:
        """``check_renewal`` raises where policy forbids that many seconds. ``reach`` is what
        ``reach_info`` answers besides the name."""
        self._spec = spec
        self._engine = engine
        self._parts = parts
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._check_renewal = check_renewal
        self._reach = reach or {}
        self._machine = Machine()
        self._broadcast = Broadcast()
        self._house: House | None = None
        self._prover: Prover | None = None
        self._doubt = LinkDoubt()
        self._former_provers: set[asyncio.Task[None]] = set()
        self._lease: LeaseClock | None = None
        self._opened: Opened | None = None
        self._child: Child | None = None
        self._child_watch: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._view: LinkView | None = None
        self._open_error: UnderpassError | None = None
        self._was_live = False
        self._news = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    # Opening

    async def open(self, timeout: float) -> Verdict:
        """Open the tunnel and prove it, within ``timeout`` seconds; returns the first good verdict.

        Raises what the engine refused with, ``ProofFailed`` or ``OriginRefused`` when something is
        carried but not proved in time, ``OriginEnded`` when the origin's process gave up, and
        ``TimedOut`` when nothing carried it. Then, and when cancelled, nothing is left.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._carry()
                await self._wait_live()
        except TimeoutError:
            error = self._why_not(timeout)
            await self.close("not proved in time")
            raise error from None
        except BaseException as error:
            await self.close(error.code if isinstance(error, UnderpassError) else "interrupted")
            raise
        assert self._machine.verdict is not None
        return self._machine.verdict

    async def _carry(self) -> None:
        self._house = self._parts.make_house(self._exchange_ended)
        self._engine.observe(self._link_changed)
        opened = await self._open_engine(self._house)
        if self._machine.is_ending:
            # It was closed while the engine was opening, which its closing may have missed.
            await attempt("the engine", self._engine.close())
            raise self._why_ended()
        self._opened = opened
        self._lease = LeaseClock(
            ends_at=opened.lease_end,
            idle_seconds=self._spec.lease.idle_seconds,
            now=self._clock.now(),
            unix=self._clock.unix(),
        )
        if opened.public_url:
            self._house.set_public_urls([opened.public_url])
        self._tell(self._machine.carried(self._clock.unix()))
        if self._parts.command:
            self._child = await Child.start(self._parts.command, url=opened.public_url)
            watch = self._watch_child(self._child)
            self._child_watch = asyncio.create_task(watch, name="underpass: watch the origin")
        self._prover = self._make_prover(opened, self._house)
        if self._view is not None:
            self._prover.link_changed(self._view)
        self._prover.start()
        self._look_at_lease()

    async def _open_engine(self, house: House) -> Opened:
        """Open the engine; what may help by itself is waited for."""
        backoff = Backoff()
        while True:
            try:
                return await self._engine.open(house, self._spec)
            except UnderpassError as error:
                if not error.retryable:
                    raise
                self._open_error = error
                wait = backoff.failed(self._clock.now(), self._jitter())
                log.info("%s; trying again in %.1f s", error.message, wait)
                await asyncio.sleep(wait)

    def _make_prover(self, opened: Opened, house: House) -> Prover:
        return make_prover(
            self._spec,
            self._engine,
            self._parts.make_probes(opened, house),
            self._clock,
            on_verdict=self._judged,
        )

    async def _wait_live(self) -> None:
        while self._machine.state is not TunnelState.LIVE:
            if self._machine.is_ending:
                raise self._why_ended()
            verdict = self._machine.verdict
            if verdict is not None and is_hopeless(verdict):
                raise why_not_proved(self._spec, self.name, verdict, 0.0)
            self._news.clear()
            await self._news.wait()

    def _why_not(self, seconds: float) -> UnderpassError:
        if self._opened is None:
            return why_not_opened(self._open_error, seconds)
        return why_not_proved(self._spec, self.name, self._machine.verdict, seconds)

    def _why_ended(self) -> UnderpassError:
        child = self._child
        ended = None if child is None or child.code is None else (child.command, child.code)
        reason, relay = self._machine.reason, self._engine.name
        return why_ended(self.name, reason, view=self._view, relay=relay, child=ended)

    # While it is open

    @property
    def name(self) -> str:
        """The tunnel's name, as granted once it is opened."""
        return self._spec.name if self._opened is None else self._opened.name

    @property
    def opened(self) -> Opened | None:
        """What the engine got; None before, and when it got nothing."""
        return self._opened

    @property
    def origin_exit_code(self) -> int | None:
        """Exit code of the program that ``--run`` started; None while it runs, and without one."""
        return None if self._child is None else self._child.code

    def status(self) -> TunnelStatus:
        """The present snapshot. Its ``url`` is None until a proof has passed."""
        spec, lease = self._spec, self._lease
        url = self._opened.public_url if self._opened and self._was_live else ""
        ends_at = lease.ends_at if lease else self._clock.unix() + spec.lease.seconds
        return TunnelStatus(
            name=self.name,
            url=url or None,
            kind=spec.kind,
            state=self._machine.state,
            gates=spec.shown_gates,
            lease=Lease(spec.lease.owner, spec.lease.purpose, ends_at),
            engine=self._engine.name,
            verdict=self._machine.verdict,
        )

    def lease_left(self) -> float:
        """Seconds until the lease's hard end, as granted at this moment; 0 once it is closing."""
        lease = self._lease
        if lease is None or self._machine.is_ending:
            return 0.0
        return lease.left(self._clock.now())

    async def prove(self) -> Verdict:
        """Run a proof now, through the public name, and return its verdict, passed or not."""
        if self._prover is None or self._machine.is_ending:
            return self._machine.verdict or judge({}, at=self._clock.unix())
        return await self._prover.prove()

    async def renew(self, seconds: int) -> TunnelStatus:
        """Move the lease's end to ``seconds`` from now.

        Raises what policy says, ``LeaseExpired`` or ``NoSuchTunnel`` when it is too late, and what
        the engine refused with.
        """
        self._check_renewal(seconds)
        lease = self._lease
        if lease is None or self._machine.is_ending:
            is_expired = self._machine.reason.startswith("lease")
            raise LeaseExpired(name=self.name) if is_expired else NoSuchTunnel(name=self.name)
        ends_at = await self._engine.renew(self._clock.unix() + seconds)
        unix = self._clock.unix()
        lease.renewed(ends_at, now=self._clock.now(), unix=unix)
        self._tell(self._machine.renewed(ends_at, unix))
        self._look_at_lease()
        return self.status()

    def subscribe(self) -> Subscription:
        """Changes from now on, each as the JSON object of its event; ends after ``closed``."""
        return self._broadcast.subscribe()

    def reach_info(self) -> Mapping[str, object]:
        """What ``reach`` needs besides a token."""
        return {"name": self.name, **self._reach}

    def quota_warned(self, what: str, used: int, limit: int, whose: str, source: str) -> None:
        """Tell whoever watches that a quota is nearly used up."""
        self._publish(QuotaWarning(self._clock.unix(), what, used, limit, whose, source))

    def sign_in_waiting(self, code: str, client: str, answer_to: str) -> None:
        """Tell whoever watches that somebody waits for the owner's word."""
        self._publish(SignInWaiting(self._clock.unix(), code, client, answer_to))

    def _exchange_ended(self, record: ExchangeRecord) -> None:
        if self._prover is None:
            return
        if record.first_byte is not None and self._lease is not None:
            self._lease.visited(self._clock.now())
        self._prover.exchange_ended(record)

    def _link_changed(self, view: LinkView) -> None:
        self._view = view
        self._tell(self._machine.link_changed(view, self._clock.unix()))
        if self._prover is not None:
            self._prover.link_changed(view)
        if view.phase is LinkPhase.ENDED:
            self._begin_end()
        elif view.public_url and self._opened is not None:
            self._move(self._opened, view.public_url)

    def _move(self, opened: Opened, url: str) -> None:
        """Follow the engine to another public address: a new prover, and no URL until it proves."""
        if url == opened.public_url or self._house is None or self._machine.is_ending:
            return
        self._opened = opened = replace(opened, public_url=url)
        self._was_live = False
        self._house.set_public_urls([url])
        former, self._prover = self._prover, self._make_prover(opened, self._house)
        self._tell(self._machine.moved(url, self._clock.unix()))
        if former is not None:
            ending = asyncio.create_task(former.close(), name="underpass: close the old prover")
            self._former_provers.add(ending)
            ending.add_done_callback(self._former_provers.discard)
        if self._view is not None:
            self._prover.link_changed(self._view)
        self._prover.start()

    def _judged(self, verdict: Verdict) -> None:
        changes = self._machine.judged(verdict)
        self._was_live = self._was_live or self._machine.state is TunnelState.LIVE
        self._tell(changes)
        view = self._view
        is_attached = view is None or view.phase is LinkPhase.ATTACHED
        wants_redial = self._doubt.judged(verdict, self._clock.now(), is_attached=is_attached)
        if wants_redial and isinstance(self._engine, Redials):
            self._engine.redial(f"proofs have failed at the layer {verdict.layer}")

    def _tell(self, changes: Changes) -> None:
        for change in changes:
            self._publish(change)
        self._news.set()

    def _publish(self, change: TunnelChange) -> None:
        self._broadcast.publish(change.to_dict(self.status()))

    def _look_at_lease(self) -> None:
        """End the tunnel if its time is over, else look again when it may be."""
        lease, now = self._lease, self._clock.now()
        if lease is None or self._house is None or self._machine.is_ending:
            return
        numbers = self._house.statistics()
        why = lease.ended(now, has_visitors=numbers.open_http + numbers.open_bytes > 0)
        if why is not None:
            self._tell(self._machine.lease_ended(why, self._clock.unix()))
            self._begin_end()
            return
        if self._timer is not None:
            self._timer.cancel()
        wait = min(LOOK_SECONDS, max(0.0, lease.next_deadline() - now))
        self._timer = self._clock.call_at(self._clock.now() + wait, self._look_at_lease)

    async def _watch_child(self, child: Child) -> None:
        code = await child.wait()
        self._machine.close(f"{child.command} ended with exit code {code}")
        self._news.set()
        self._begin_end()

    # Closing

    async def close(self, reason: str = "closed") -> None:
        """Close the exposure; returns when nothing of it is left. Idempotent.

        A caller that is cancelled stops waiting; the closing goes on.
        """
        self._machine.close(reason)
        await asyncio.shield(self._begin_end())

    async def wait_closed(self) -> str:
        """Wait until nothing of the tunnel is left; returns why it was closed."""
        while self._machine.state is not TunnelState.CLOSED:
            self._news.clear()
            await self._news.wait()
        return self._machine.reason

    def _begin_end(self) -> asyncio.Task[None]:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(
                self._give_back(), name="underpass: close the tunnel"
            )
        return self._ending

    async def _give_back(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await give_back(
            prover=self._prover,
            former_provers=self._former_provers,
            engine=self._engine,
            child=self._child,
            child_watch=self._child_watch,
            house=self._house,
        )
        self._tell(self._machine.released(self._clock.unix()))
        self._broadcast.end()
