"""The data file is whole, and what is wrong in one is told at once."""

from __future__ import annotations

from datetime import date

import pytest

from underpass.decide.here import Here, Left
from underpass.decide.need import HOUR, Auth, Need, Traffic, Visitor
from underpass.decide.quotas import Basis, Measure, parse_quotas
from underpass.decide.ways import WAYS

ENTRY = """
[[quota]]
id = "a"
ways = ["ngrok-free"]
measure = "bytes-out-per-month"
amount = 10
says = "10 bytes"
as_of = 2026-08-07
source = "https://example.com"
basis = "vendor-page"
"""


def test_every_quota_binds_ways_that_exist_and_says_where_it_is_from(quotas):
    known = {way.id for way in WAYS}
    assert quotas.facts
    for fact in quotas.facts:
        assert set(fact.ways) <= known
        assert fact.as_of <= date(2026, 11, 23)
        assert fact.source
        if fact.basis is Basis.VENDOR_PAGE:
            assert fact.source.startswith("https://")


def test_every_way_that_somebody_else_carries_has_a_quota_or_says_that_none_is_known(quotas):
    for way in WAYS:
        if way.third_party and not any(quotas.of(way.id)):
            assert any("not recorded here" in limit for limit in way.limits)


def test_an_entry_is_read_whole():
    fact = parse_quotas(ENTRY).facts[0]
    assert (fact.id, fact.ways, fact.measure) == ("a", ("ngrok-free",), Measure.TRANSFER)
    assert fact.sentence() == "10 bytes (as of 2026-08-07)"


def test_a_reported_number_says_so():
    fact = parse_quotas(ENTRY.replace("vendor-page", "reported")).facts[0]
    assert fact.sentence() == "10 bytes (as of 2026-08-07, reported)"


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('"bytes-out-per-month"', '"miles"', "'miles' is not a valid Measure"),
        ("2026-08-07", '"August"', "as_of is no date"),
        ("amount = 10", "amount = -1", "amount is no whole number"),
        ('source = "https://example.com"', 'source = ""', "must say something"),
        ('source = "https://example.com"', "", "'source'"),
        ("amount = 10", "amuont = 10", "unknown keys amuont"),
    ],
)
def test_mistakes_are_named_with_their_entry(was, becomes, told):
    with pytest.raises(ValueError, match="entry 1 ") as raised:
        parse_quotas(ENTRY.replace(was, becomes))
    assert told in str(raised.value)


def test_all_mistakes_are_told_together():
    with pytest.raises(ValueError) as raised:
        parse_quotas(ENTRY + ENTRY + ENTRY.replace("amount = 10", "amount = -1"))
    assert "entry 3" in str(raised.value)
    assert "a is there twice" in str(raised.value)


def test_the_tightest_number_binds():
    two = parse_quotas(ENTRY + ENTRY.replace('"a"', '"b"').replace("= 10", "= 5"))
    assert two.bound("ngrok-free", Measure.TRANSFER).id == "b"
    assert two.bound("ngrok-free", Measure.BODY) is None


def test_a_need_over_a_quota_takes_the_way_out_and_the_reason_has_the_date(ask):
    advice = ask(Need(monthly_bytes=2 * 10**9))
    broken = {unfit.way.id: dict(unfit.broken) for unfit in advice.unfit}
    assert broken["ngrok-free"] == {
        "transfer": "over its quota: 1 GB transferred out a month (as of 2026-08-07)"
    }


def test_what_is_left_counts_before_what_is_granted(ask):
    need = Need(monthly_bytes=10**8)
    assert "ngrok-free" in {answer.way.id for answer in ask(need).answers}
    used = Here(left=(Left("ngrok-free-transfer", 10**7),))
    assert "ngrok-free" not in {answer.way.id for answer in ask(need, used).answers}
    # Used up, it is no way for any need.
    empty = Here(left=(Left("ngrok-free-transfer", 0),))
    assert "ngrok-free" not in {answer.way.id for answer in ask(Need(), empty).answers}


def test_old_quotas_are_told_to_be_old(ask):
    assert not any("ngrok" in caution for caution in ask(Need()).cautions)
    later = ask(Need(), today=date(2027, 3, 1)).cautions
    assert any("ngrok-free-transfer" in caution for caution in later)


def test_a_quota_that_is_nearly_used_up_puts_its_way_behind_others_and_says_so(ask):
    need = Need(seconds=2 * HOUR, visitor=Visitor.WEBHOOK)
    first, *_ = ask(need).answers
    assert first.way.id == "ngrok-free"
    # A tenth of it is left: told, and no more than that.
    some = ask(need, Here(left=(Left("ngrok-free-requests", 2_000),))).answers[0]
    assert (some.way.id, some.points) == ("ngrok-free", first.points)
    assert "2 000 left of: 20 000 HTTP requests a month" in some.limits
    few = ask(need, Here(left=(Left("ngrok-free-requests", 1_999),))).answers
    assert few[0].way.id != "ngrok-free"
    (ngrok,) = (each for each in few if each.way.id == "ngrok-free")
    told = [(reason.points, reason.why) for reason in ngrok.reasons if reason.points < 0]
    assert told == [(-20, "only 1 999 left of: 20 000 HTTP requests a month")]


def test_what_a_need_cannot_use_up_says_nothing_against_a_way(ask):
    few = Here(left=(Left("ngrok-free-requests", 1), Left("ngrok-free-tcp-connections", 1)))
    (tcp,) = (a for a in ask(Need(traffic=Traffic.TCP), few).answers if a.way.id == "ngrok-tcp")
    assert not any("HTTP requests" in reason.why for reason in tcp.reasons)
    assert any("TCP connections" in reason.why for reason in tcp.reasons)


@pytest.mark.parametrize(
    ("need", "told"),
    [
        (Need(), "say who comes (--visitor) and how they show it (--auth): else it is a guess"),
        (
            Need(visitor=Visitor.WEBHOOK),
            "the gate is what a visitor of the kind webhook can pass: --auth says another",
        ),
        (
            Need(traffic=Traffic.TCP, auth=Auth.IP),
            "where only machines of yours come, ask with --private: ways without a public port",
        ),
        (Need(auth=Auth.TOKEN), None),
        (Need(traffic=Traffic.TCP, auth=Auth.IP, visitor=Visitor.PROGRAM), None),
    ],
)
def test_what_was_not_said_is_asked_for(need, told, ask):
    cautions = [each for each in ask(need).cautions if not each.startswith("older")]
    assert cautions == ([told] if told else [])
