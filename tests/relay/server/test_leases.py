from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.server.leases import CUT_AFTER, Due, LeaseBook, LeaseClock, Phase

ENDED, CUT = Phase.ENDED, Phase.CUT


def test_nothing_is_due_in_an_empty_book() -> None:
    book = LeaseBook()
    assert book.due(1e12) == []
    assert book.next_deadline() is None


def test_a_lease_ends_and_is_cut_thirty_seconds_later() -> None:
    book = LeaseBook()
    book.set("tools", 100.0)
    assert book.due(99.9) == []
    assert book.due(100.0) == [Due("tools", ENDED)]
    assert book.next_deadline() == 100.0 + CUT_AFTER
    assert book.due(129.9) == []
    assert book.due(130.0) == [Due("tools", CUT)]
    assert len(book) == 0


def test_each_phase_is_due_once() -> None:
    book = LeaseBook()
    book.set("tools", 100.0)
    book.due(101.0)
    assert book.due(102.0) == []


def test_after_a_long_sleep_both_phases_are_due_in_order() -> None:
    book = LeaseBook()
    book.set("tools", 100.0)
    assert book.due(1000.0) == [Due("tools", ENDED), Due("tools", CUT)]


def test_a_renewed_lease_ends_later() -> None:
    book = LeaseBook()
    book.set("tools", 100.0)
    book.set("tools", 200.0)
    assert book.due(150.0) == []
    assert book.due(200.0) == [Due("tools", ENDED)]


def test_a_shortened_lease_ends_earlier() -> None:
    book = LeaseBook()
    book.set("tools", 200.0)
    book.set("tools", 100.0)
    assert book.due(100.0) == [Due("tools", ENDED)]
    assert book.due(200.0) == [Due("tools", CUT)]


def test_a_renewal_after_the_end_saves_what_runs() -> None:
    book = LeaseBook()
    book.set("tools", 100.0)
    book.due(100.0)
    book.set("tools", 500.0)
    assert book.due(130.0) == []
    assert book.due(500.0) == [Due("tools", ENDED)]


def test_a_forgotten_lease_is_never_due() -> None:
    book = LeaseBook()
    book.set("tools", 100.0)
    book.forget("tools")
    book.forget("tools")
    assert book.due(1000.0) == []
    assert book.next_deadline() is None


def test_leases_are_due_in_the_order_of_their_ends() -> None:
    book = LeaseBook()
    for name, end in (("b", 20.0), ("a", 30.0), ("c", 10.0)):
        book.set(name, end)
    assert [due.name for due in book.due(30.0)] == ["c", "b", "a"]


def test_ten_thousand_renewals_leave_little_behind() -> None:
    book = LeaseBook()
    for end in range(10_000):
        book.set("tools", 1e6 + end)
    assert len(book._heap) <= 128
    assert book.due(2e6)[0] == Due("tools", ENDED)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.one_of(st.none(), st.integers(0, 100)),
            st.integers(0, 20),
        )
    )
)
def test_the_book_agrees_with_a_simple_one(steps: list[tuple[str, int | None, int]]) -> None:
    book, now = LeaseBook(), 0.0
    ends: dict[str, tuple[float, bool]] = {}
    for name, end, wait in steps:
        if end is None:
            book.forget(name)
            ends.pop(name, None)
        elif ends.get(name, (None,))[0] != end:
            book.set(name, float(end))
            ends[name] = (float(end), False)
        now += wait
        expected: set[Due] = set()
        for each, (at, ended) in list(ends.items()):
            if not ended and at <= now:
                expected.add(Due(each, ENDED))
                ends[each] = (at, True)
            if at + CUT_AFTER <= now:
                expected.add(Due(each, CUT))
                del ends[each]
        assert set(book.due(now)) == expected


async def test_the_clock_acts_on_what_is_due() -> None:
    loop = asyncio.get_running_loop()
    seen: asyncio.Queue[Due] = asyncio.Queue()
    now = 100.0
    clock = LeaseClock(loop, lambda: now, seen.put_nowait)
    clock.set("tools", 99.0)
    assert await asyncio.wait_for(seen.get(), 5) == Due("tools", ENDED)
    now = 129.0
    clock.set("other", 128.0)
    assert {(await asyncio.wait_for(seen.get(), 5)).name for _ in range(2)} == {"tools", "other"}
    clock.close()


async def test_a_closed_clock_acts_no_more() -> None:
    loop = asyncio.get_running_loop()
    seen: list[Due] = []
    clock = LeaseClock(loop, lambda: 100.0, seen.append)
    clock.set("tools", 0.0)
    clock.close()
    clock.set("other", 0.0)
    turned = asyncio.Event()
    loop.call_later(0, loop.call_soon, turned.set)
    await asyncio.wait_for(turned.wait(), 5)
    assert seen == []
