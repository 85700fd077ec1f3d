"""The names of a tunnel's metrics are pinned: dashboards are built on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.observe.test_meter import NOV, tape

from underpass.observe.meter import Meter
from underpass.observe.metrics import NAMES, TunnelNumbers, metrics_text
from underpass.observe.observer import ObserverStatistics
from underpass.observe.quota import Quota

pytestmark = pytest.mark.pure

PAGE = Path(__file__).parents[2] / "docs" / "requests.md"


def families() -> dict[str, list[tuple[str, dict[str, str], float]]]:
    meter = Meter(Quota(requests_a_minute=5), unix=NOV)
    meter.ended(tape(up=10, down=100), 1.1, NOV)
    numbers = TunnelNumbers("tools", True, 3, 2, 1, ObserverStatistics(7, 1, 4, 0))
    text = metrics_text(lambda: numbers, meter)().decode()
    return {
        family.name: [(each.name, dict(each.labels), each.value) for each in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_every_name_is_there_and_no_other() -> None:
    assert set(families()) == {
        "underpass_tunnel_live",
        "underpass_tunnel_exchanges_open",
        "underpass_tunnel_requests",
        "underpass_tunnel_bytes",
        "underpass_tunnel_first_byte_seconds",
        "underpass_tunnel_denied",
        "underpass_tunnel_origin_failures",
        "underpass_tunnel_proofs",
        "underpass_tunnel_captures",
        "underpass_tunnel_captures_dropped",
        "underpass_tunnel_quota_used",
        "underpass_tunnel_quota_limit",
    }
    assert set(families()) == set(NAMES)


def test_every_name_is_in_the_documentation() -> None:
    page = PAGE.read_text()
    assert [name for name in NAMES if f"`{name}" not in page] == []


def test_the_numbers_are_those_of_the_meter() -> None:
    found = families()
    assert ("underpass_tunnel_requests_total", {"tunnel": "tools", "class": "2xx"}, 1.0) in found[
        "underpass_tunnel_requests"
    ]
    assert ("underpass_tunnel_bytes_total", {"tunnel": "tools", "direction": "down"}, 100.0) in (
        found["underpass_tunnel_bytes"]
    )
    latency = found["underpass_tunnel_first_byte_seconds"]
    assert ("underpass_tunnel_first_byte_seconds_count", {"tunnel": "tools"}, 1.0) in latency
    buckets = [value for name, _, value in latency if name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[0] == 0.0
    assert buckets[-1] == 1.0


def test_no_label_names_a_visitor() -> None:
    labels = {label for samples in families().values() for _, each, _ in samples for label in each}
    assert labels == {"tunnel", "class", "direction", "le", "quota", "whose"}
