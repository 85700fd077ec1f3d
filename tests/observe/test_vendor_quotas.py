"""A vendor's quotas: counted as far as they can be here, and told otherwise, with their sources."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from tests.observe.test_meter import tape

from underpass.decide.quotas import Basis, Measure, QuotaFact
from underpass.observe.meter import Meter, Usage
from underpass.observe.observer import Observer
from underpass.observe.quota import Quota, Warned

NOV = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
SOURCE = "https://vendor.example/limits"
MONTHLY = (Measure.TRANSFER, Measure.REQUESTS, Measure.TCP_CONNECTIONS)
OF_BYTE_STREAMS = (Measure.TCP_CONNECTIONS, Measure.TCP_RATE)


def fact(measure: Measure, amount: int | None) -> QuotaFact:
    return QuotaFact(
        f"v-{measure}",
        ("vendor-free",),
        measure,
        f"{amount} {measure}",
        date(2026, 8, 7),
        SOURCE,
        Basis.VENDOR_PAGE,
        amount,
    )


def use(meter: Meter, measure: Measure) -> Callable[[int], None]:
    """What uses up one of ten, told how many are used then."""
    if measure in (Measure.IN_FLIGHT, Measure.SESSION):
        return lambda count: meter.reach(measure, count)
    return lambda count: meter.ended(tape(up=5_000, down=100), 1.1, NOV)


@pytest.mark.parametrize(
    ("measure", "limit"),
    [
        (Measure.TRANSFER, 1000),
        (Measure.REQUESTS, 10),
        (Measure.REQUEST_RATE, 10),
        (Measure.IN_FLIGHT, 10),
        (Measure.SESSION, 10),
        (Measure.TCP_CONNECTIONS, 10),
        (Measure.TCP_RATE, 10),
    ],
)
def test_it_warns_at_80_and_at_100_percent_with_source_and_date(
    measure: Measure, limit: int
) -> None:
    is_tcp = measure in OF_BYTE_STREAMS
    meter = Meter(Quota(), unix=NOV, vendors=[fact(measure, limit)], is_tcp=is_tcp)
    use_one, warned = use(meter, measure), []
    for count in range(1, 12):
        use_one(count)
        warned.append([one.used * 10 // limit for one in meter.take_warnings()])
    assert warned == [*[[]] * 7, [8], [], [10], []]
    (quota,) = meter.to_dict()["quotas"]
    assert (quota["what"], quota["limit"], quota["whose"]) == (str(measure), limit, "vendor-free")
    assert (quota["source"], quota["as_of"], quota["basis"]) == (
        SOURCE,
        "2026-08-07",
        "vendor-page",
    )
    assert meter.admit(0.0, NOV) is None  # a vendor's quota is the vendor's to hold


def test_a_warning_says_what_the_vendor_says_when_and_where() -> None:
    meter = Meter(Quota(), unix=NOV, vendors=[fact(Measure.IN_FLIGHT, 10)])
    meter.reach(Measure.IN_FLIGHT, 9)
    said = f"10 requests-in-flight (as of 2026-08-07), {SOURCE}"
    assert meter.take_warnings() == [Warned("requests-in-flight", 9, 10, "vendor-free", said)]


def test_only_what_a_tunnel_of_its_kind_can_use_up_is_counted() -> None:
    facts = [fact(measure, 10) for measure in (Measure.REQUESTS, Measure.TCP_CONNECTIONS)]
    for is_tcp, counted in ((False, Measure.REQUESTS), (True, Measure.TCP_CONNECTIONS)):
        told = Meter(Quota(), unix=NOV, vendors=facts, is_tcp=is_tcp).to_dict()
        assert [quota["what"] for quota in told["quotas"]] == [str(counted)]
        assert told["uncounted"] == []


@pytest.mark.parametrize("measure", MONTHLY)
def test_a_month_goes_on_where_it_was_before_a_restart(measure: Measure) -> None:
    before = Usage("2026-11", bytes_up=5_000, bytes_down=7, requests=7)
    is_tcp = measure in OF_BYTE_STREAMS
    meter = Meter(Quota(), unix=NOV, before=before, vendors=[fact(measure, 10)], is_tcp=is_tcp)
    meter.ended(tape(down=1), 1.1, NOV)
    assert [warned.used for warned in meter.take_warnings()] == [8]


@pytest.mark.parametrize(
    ("measure", "amount"),
    [
        (Measure.BANDWIDTH, None),
        (Measure.PORTS, 3),
        (Measure.KEY_AGE, 180),
        (Measure.BODY, 100_000_000),
        (Measure.TRANSFER, None),
    ],
)
def test_a_limit_that_cannot_be_counted_here_is_told_as_such(
    measure: Measure, amount: int | None
) -> None:
    told = Meter(Quota(), unix=NOV, vendors=[fact(measure, amount)]).to_dict()
    assert told["quotas"] == []
    assert told["uncounted"] == [
        {
            "what": str(measure),
            "says": f"{amount} {measure}",
            "whose": "vendor-free",
            "source": SOURCE,
            "as_of": "2026-08-07",
            "basis": "vendor-page",
        }
    ]


async def test_exchanges_that_go_on_are_those_in_flight() -> None:
    warned: list[Warned] = []
    meter = Meter(Quota(), unix=NOV, vendors=[fact(Measure.IN_FLIGHT, 5)])
    observer = Observer("shop", meter=meter, on_warning=warned.append)
    tapes = [observer.begin("http", "a") for _ in range(4)]
    assert [one.used for one in warned] == [4]
    for each in tapes[1:]:
        each.ended = observer.clock()
        observer.ended(each)
    observer.statistics()
    assert meter.to_dict()["quotas"][0]["used"] == 1
    tapes += [observer.begin("http", "a") for _ in range(4)]
    assert [one.used for one in warned] == [4, 4, 5]
    await observer.close()
    assert meter.to_dict()["quotas"][0]["used"] == 0
