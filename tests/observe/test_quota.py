"""Quotas: their grammar, their windows, one warning each, and when there is room again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from underpass.observe.errors import QuotaMalformed
from underpass.observe.quota import (
    Gauge,
    MinuteWindow,
    MonthWindow,
    OverQuota,
    Quota,
    Warned,
    month_of,
    parse_quota,
    seconds_to_next_month,
)

pytestmark = pytest.mark.pure

NOV = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
DEC = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("texts", "quota", "said"),
    [
        ((), Quota(), ""),
        (("10GB/month",), Quota(10 * 10**9), "10GB/month"),
        (("1.5 GiB/month", "600/minute"), Quota(3 << 29, 600), "1536MiB/month 600/minute"),
        (("500MB/month",), Quota(500 * 10**6), "500MB/month"),
    ],
)
def test_a_quota_reads_and_says_itself(texts: tuple[str, ...], quota: Quota, said: str) -> None:
    assert parse_quota(texts) == quota
    assert str(quota) == said


@pytest.mark.parametrize(
    "texts",
    [
        *(("10/month",), ("10GB/day",), ("x",), ("1.5/minute",), ("10GB/minute",), ("0/minute",)),
        *(("1/minute", "2/minute"), ("1GB/month", "2GB/month"), ("0B/month",)),
    ],
)
def test_quota_malformed(texts: tuple[str, ...]) -> None:
    with pytest.raises(QuotaMalformed) as caught:
        parse_quota(texts)
    assert caught.value.code == "quota-malformed"


def test_a_minute_slides_and_says_when_there_is_room() -> None:
    window = MinuteWindow(3)
    assert [window.take(at) for at in (0.0, 10.0, 20.0)] == [None, None, None]
    assert window.take(30.0) == OverQuota("requests", 31)
    assert window.take(59.9) == OverQuota("requests", 1)
    assert window.take(60.1) is None
    assert window.take(60.2) == OverQuota("requests", 10)


def test_a_minute_warns_at_80_and_100_percent_once_each_until_it_was_below() -> None:
    window = MinuteWindow(5)
    warned = []
    for at in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0):
        window.take(at)
        warned.append(window.warning())
    four, five = Warned("requests-per-minute", 4, 5), Warned("requests-per-minute", 5, 5)
    assert warned == [None, None, None, four, five, None]
    window.take(100.0)
    assert window.warning() is None
    for at in (101.0, 102.0, 103.0):
        window.take(at)
    assert window.warning() == Warned("requests-per-minute", 4, 5)


def test_a_month_counts_what_was_used_before_and_begins_anew() -> None:
    window = MonthWindow("bytes-per-month", 1000, used=700, unix=NOV)
    assert window.warning() is None
    window.add(100, NOV)
    assert window.warning() == Warned("bytes-per-month", 800, 1000)
    assert window.warning() is None
    assert window.over(NOV) is None
    window.add(200, NOV)
    assert window.warning() == Warned("bytes-per-month", 1000, 1000)
    assert window.warning() is None
    over = window.over(NOV)
    assert over is not None
    assert NOV + over.retry_after == DEC + 1
    assert window.over(DEC) is None
    window.add(10, DEC)
    assert window.used == 10


def test_what_there_is_at_a_moment_warns_again_when_it_comes_back() -> None:
    gauge, told = Gauge("requests-in-flight", 10), []
    for gauge.used in (7, 8, 9, 10, 12, 9, 8, 7, 10):
        told.append(gauge.warning())
    levels = [None if one is None else one.used for one in told]
    assert levels == [None, 8, None, 10, None, None, None, None, 10]


def test_months_are_those_of_utc() -> None:
    assert (month_of(DEC - 1), month_of(DEC)) == ("2026-11", "2026-12")
    assert seconds_to_next_month(DEC - 1) == 2
    december = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    assert seconds_to_next_month(december) == 2
