"""The relay's numbers in Prometheus' text format, from a registry of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from underpass.relay.server.statistics import RelayStatistics

_GAUGES = {
    "tunnels": "Names with an exposure.",
    "tunnels_linked": "Tunnels whose connector is linked.",
    "links": "Links that carry a lane.",
    "streams": "Exchanges of visitors in flight.",
    "keys": "Keys that may link or were revoked.",
    "ports": "Ports that single tunnels own.",
    "receive_bytes": "Credit granted to connectors and bytes not yet drained.",
    "replay_bytes": "Bytes kept until connectors acknowledge them.",
    "draining": "1 while the relay is about to stop.",
}
_COUNTERS = {
    "links_accepted": "Links welcomed.",
    "links_refused": "Links refused.",
}


def metrics_text(statistics: Callable[[], RelayStatistics]) -> Callable[[], bytes]:
    """What ``/metrics`` answers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatisticsCollector(statistics))
    return lambda: generate_latest(registry)


class _StatisticsCollector(Collector):
    def __init__(self, statistics: Callable[[], RelayStatistics]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client``."""
        now = self._statistics()
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"underpass_relay_{name}", text, float(getattr(now, name)))
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"underpass_relay_{name}", text, float(getattr(now, name)))
        events = CounterMetricFamily(
            "underpass_relay_events", "What the edges counted.", labels=["event"]
        )
        for event, count in sorted(now.events.items()):
            events.add_metric([event], float(count))
        yield events
