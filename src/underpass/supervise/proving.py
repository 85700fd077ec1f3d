"""How a tunnel is proved: what its spec and its engine say about when, and what proofs may cost."""

from __future__ import annotations

from collections.abc import Callable

from underpass.drivers.base import Engine, HasQuota
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec
from underpass.model.verdict import Verdict
from underpass.prove.clock import Clock
from underpass.prove.probes import Probes
from underpass.prove.prover import Prover
from underpass.prove.schedule import Schedule
from underpass.prove.verdicts import Evidence


def make_prover(
    spec: TunnelSpec,
    engine: Engine,
    probes: Probes,
    clock: Clock,
    *,
    on_verdict: Callable[[Verdict], None],
) -> Prover:
    """The prover of one public address. A tcp origin is left in peace unless its health is asked
    for by a connection."""
    quota = engine.quota if isinstance(engine, HasQuota) else None
    schedule = Schedule(clock.now(), quota=quota, closed=bool(spec.every_gate))
    spares_origin = spec.kind is Kind.TCP and spec.health != "tcp"
    evidence = Evidence(
        public=spec.public,
        ruled=bool(spec.rules),
        live_interval=schedule.live_interval,
        closed_interval=schedule.closed_interval,
        origin_expires=not spares_origin,
    )
    return Prover(
        probes, schedule, evidence, clock, on_verdict=on_verdict, spares_origin=spares_origin
    )
