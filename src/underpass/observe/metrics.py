"""The metrics of one tunnel in Prometheus' text format. Their names are documented and stay.

No label names a visitor: whoever may read metrics need not know who calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from underpass.observe.histogram import BOUNDS
from underpass.observe.meter import CLASSES, Meter
from underpass.observe.observer import ObserverStatistics

NAMES: Final = {
    "underpass_tunnel_live": "1 while the newest proof, or a visitor, has gone all the way.",
    "underpass_tunnel_exchanges_open": "Exchanges that go on.",
    "underpass_tunnel_requests": "Exchanges that ended, by class of status (none: byte streams).",
    "underpass_tunnel_bytes": "Bytes of bodies and streams, up (to the origin) and down.",
    "underpass_tunnel_first_byte_seconds": "Until the first byte of the answer.",
    "underpass_tunnel_denied": "Exchanges that a gate refused.",
    "underpass_tunnel_origin_failures": "Exchanges that the origin refused, or broke off.",
    "underpass_tunnel_proofs": "Valid proofs answered.",
    "underpass_tunnel_captures": "Exchanges recorded.",
    "underpass_tunnel_captures_dropped": "Exchanges not recorded: the disk was slow, full, broken.",
    "underpass_tunnel_quota_used": "What was used of a quota, in the unit of its name.",
    "underpass_tunnel_quota_limit": "What the quota allows.",
}
"""Every name, without the endings that the format adds (``_total``, ``_bucket``, …)."""


@dataclass(frozen=True, slots=True)
class TunnelNumbers:
    """What stands in the metrics besides the meter."""

    name: str
    live: bool
    denied: int
    origin_failures: int
    proofs: int
    observer: ObserverStatistics


def metrics_text(numbers: Callable[[], TunnelNumbers], meter: Meter) -> Callable[[], bytes]:
    """What ``/metrics`` answers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_TunnelCollector(numbers, meter))
    return lambda: generate_latest(registry)


class _TunnelCollector(Collector):
    def __init__(self, numbers: Callable[[], TunnelNumbers], meter: Meter) -> None:
        self._numbers = numbers
        self._meter = meter

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client``."""
        now, total = self._numbers(), self._meter.total
        for name, value in (
            ("underpass_tunnel_live", float(now.live)),
            ("underpass_tunnel_exchanges_open", float(now.observer.open)),
        ):
            gauge = GaugeMetricFamily(name, NAMES[name], labels=["tunnel"])
            gauge.add_metric([now.name], value)
            yield gauge
        for name, count in (
            ("underpass_tunnel_denied", now.denied),
            ("underpass_tunnel_origin_failures", now.origin_failures),
            ("underpass_tunnel_proofs", now.proofs),
            ("underpass_tunnel_captures", now.observer.captured),
            ("underpass_tunnel_captures_dropped", now.observer.dropped),
        ):
            counter = CounterMetricFamily(name, NAMES[name], labels=["tunnel"])
            counter.add_metric([now.name], float(count))
            yield counter
        name = "underpass_tunnel_requests"
        requests = CounterMetricFamily(name, NAMES[name], labels=["tunnel", "class"])
        for kind, count in zip(CLASSES, total.classes, strict=True):
            requests.add_metric([now.name, kind], float(count))
        yield requests
        name = "underpass_tunnel_bytes"
        carried = CounterMetricFamily(name, NAMES[name], labels=["tunnel", "direction"])
        carried.add_metric([now.name, "up"], float(total.bytes_up))
        carried.add_metric([now.name, "down"], float(total.bytes_down))
        yield carried
        yield self._latency(now.name)
        yield from self._quotas(now.name)

    def _latency(self, tunnel: str) -> Metric:
        name, latency = "underpass_tunnel_first_byte_seconds", self._meter.total.latency
        family = HistogramMetricFamily(name, NAMES[name], labels=["tunnel"])
        seen, buckets = 0, []
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], latency.counts, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        family.add_metric([tunnel], buckets, latency.total)
        return family

    def _quotas(self, tunnel: str) -> Iterable[Metric]:
        labels = ["tunnel", "quota", "whose"]
        for name, key in (
            ("underpass_tunnel_quota_used", "used"),
            ("underpass_tunnel_quota_limit", "limit"),
        ):
            family = GaugeMetricFamily(name, NAMES[name], labels=labels)
            for quota in self._meter.to_dict()["quotas"]:
                family.add_metric([tunnel, quota["what"], quota["whose"]], float(quota[key]))
            yield family
