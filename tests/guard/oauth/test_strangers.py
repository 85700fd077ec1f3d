"""Strangers share a rate, and nobody has more than a third of it."""

from __future__ import annotations

import pytest

from underpass.guard.oauth.strangers import Allowance, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not an address", ""),
    ],
)
def test_a_network_is_what_one_visitor_has(address: str, network: str):
    assert network_of(address) == network


def test_one_network_leaves_two_thirds_to_others():
    now = [0.0]
    allowance = Allowance(lambda: now[0], burst=9, refill=2.0)
    assert [allowance.take("203.0.113.7") for _ in range(5)] == [True] * 3 + [False] * 2
    assert all(allowance.take(f"198.51.100.{each}") for each in range(6))
    assert not allowance.take("192.0.2.1")
    now[0] += 2.0
    assert not allowance.take("203.0.113.7")
    assert allowance.take("192.0.2.1")
    now[0] += 18.0
    assert allowance.take("203.0.113.7"), "a full refill later it has a share again"


def test_those_without_an_address_share_the_rate_for_all():
    allowance = Allowance(lambda: 0.0, burst=9, refill=2.0)
    assert [allowance.take() for _ in range(10)] == [True] * 9 + [False]
