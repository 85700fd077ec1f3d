"""Who may come, and how often."""

from __future__ import annotations

import pytest

from underpass.relay.edges.addresses import SourceCap, is_within, parse_networks, plain_address

pytestmark = pytest.mark.pure


def test_addresses_are_what_rules_mean() -> None:
    assert plain_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("10.0.0.1") == "10.0.0.1"


def test_networks_are_strict() -> None:
    with pytest.raises(ValueError):
        parse_networks(("10.0.0.1/8",))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.2.3", True), ("11.1.2.3", False), ("2001:db8::1", True), ("", False), ("::1", False)],
)
def test_an_address_lies_in_a_network_of_its_own_family(address: str, expected: bool) -> None:
    assert is_within(address, ("10.0.0.0/8", "2001:db8::/32")) is expected


def test_a_source_is_capped_and_gets_back_what_it_gave_back() -> None:
    cap = SourceCap(2)
    assert [cap.take("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert cap.take("10.0.0.2")
    cap.give("10.0.0.1")
    assert cap.take("10.0.0.1")
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
        cap.give(address)
    assert len(cap) == 0


def test_one_ipv6_network_is_one_source() -> None:
    cap = SourceCap(1)
    assert cap.take("2001:db8::1")
    assert not cap.take("2001:db8::ffff:1")
    assert cap.take("2001:db8:0:1::1")


def test_proxies_are_exempt() -> None:
    cap = SourceCap(1, exempt=("10.0.0.0/8",))
    assert all(cap.take("10.0.0.1") for _ in range(5))
    assert cap.take("192.0.2.1")
    assert not cap.take("192.0.2.1")
