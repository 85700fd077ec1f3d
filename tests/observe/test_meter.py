"""The meter: counts for each visitor, quotas, warnings, and what survives a restart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from underpass.observe.meter import DENIED, MOST_VISITORS, OTHERS, Meter, Usage
from underpass.observe.quota import Quota, Warned
from underpass.observe.tape import Side, Tape

pytestmark = pytest.mark.pure

NOV = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
DEC = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def tape(
    address: str = "a", *, up: int = 0, down: int = 0, status: int = 200, **facts: str
) -> Tape:
    made = Tape(1, "http", address, 1.0, NOV, Side(0), Side(0))
    made.status = status
    made.first, made.ended = 1.003, 1.1
    made.up.size, made.down.size = up, down
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_it_counts_in_all_and_for_each_visitor() -> None:
    meter = Meter(Quota(), unix=NOV)
    meter.ended(tape("a", up=10, down=100), 1.1, NOV)
    meter.ended(tape("a", down=5, status=503), 1.1, NOV)
    meter.ended(tape("b", identity="basic:bob", status=0), 1.1, NOV)
    shown = meter.to_dict()
    assert (shown["requests"], shown["bytes_up"], shown["bytes_down"]) == (3, 10, 105)
    assert shown["classes"] == {"none": 1, "2xx": 1, "5xx": 1}
    assert shown["p50_ms"] == 4.096
    assert {name: one["requests"] for name, one in shown["visitors"].items()} == {
        "a": 2,
        "basic:bob": 1,
    }


def test_visitors_beyond_the_bound_share_a_row_and_strangers_take_none() -> None:
    meter = Meter(Quota(), unix=NOV)
    for number in range(3 * MOST_VISITORS):
        meter.ended(tape(f"s{number}", outcome="denied", status=401), 1.1, NOV)
        meter.ended(tape(f"v{number}"), 1.1, NOV)
    assert len(meter.visitors) <= MOST_VISITORS + 2
    assert meter.visitors[DENIED].requests == 3 * MOST_VISITORS
    assert meter.visitors[OTHERS].requests == 2 * MOST_VISITORS + 1


def test_requests_beyond_the_minutes_quota_are_refused_until_there_is_room() -> None:
    meter = Meter(Quota(requests_a_minute=2), unix=NOV)
    assert meter.admit(0.0, NOV) is None
    assert meter.admit(1.0, NOV) is None
    over = meter.admit(2.0, NOV)
    assert over is not None
    assert (over.what, over.retry_after) == ("requests", 59)
    assert meter.admit(60.5, NOV) is None


def test_bytes_beyond_the_months_quota_are_refused_until_the_next() -> None:
    meter = Meter(Quota(bytes_a_month=1000), unix=NOV, before=Usage("2026-11", 300, 300, 9))
    assert meter.admit(0.0, NOV) is None
    meter.ended(tape(up=100, down=300), 1.1, NOV)
    assert meter.take_warnings() == [Warned("bytes-per-month", 1000, 1000)]
    over = meter.admit(0.0, NOV)
    assert over is not None
    assert over.what == "bytes"
    assert meter.admit(0.0, DEC) is None


def test_usage_of_another_month_does_not_count() -> None:
    meter = Meter(Quota(bytes_a_month=1000), unix=DEC, before=Usage("2026-11", 900, 900, 9))
    assert meter.admit(0.0, DEC) is None
    assert meter.to_dict()["quotas"][0]["used"] == 0


def test_a_long_exchange_counts_while_it_lasts_and_not_twice() -> None:
    meter = Meter(Quota(bytes_a_month=1000), unix=NOV)
    long = tape(down=850)
    meter.inform(long, NOV)
    assert [warned.used for warned in meter.take_warnings()] == [850]
    long.down.size = 900
    meter.ended(long, 1.1, NOV)
    assert meter.to_dict()["quotas"][0]["used"] == 900
    assert meter.total.bytes_down == 900


def test_what_was_used_is_handed_over_once_a_month_each() -> None:
    meter = Meter(Quota(), unix=NOV)
    meter.ended(tape(up=1, down=2), 1.1, NOV)
    meter.ended(tape(up=1, down=2), 1.1, DEC)
    assert meter.take_unsaved() == [Usage("2026-11", 1, 2, 1), Usage("2026-12", 1, 2, 1)]
    assert meter.take_unsaved() == []
