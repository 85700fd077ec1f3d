"""Finding an address that an ``ip`` gate must refuse."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.prove.strangers import NOBODYS, foreign_address

pytestmark = pytest.mark.pure


def test_nobodys_address_is_a_stranger_to_most_gates() -> None:
    assert foreign_address(["10.0.0.0/8"]) == NOBODYS[0]


def test_another_is_taken_where_the_first_is_listed() -> None:
    assert foreign_address(["192.0.2.0/24", "198.51.100.0/24"]) == "203.0.113.1"


def test_a_gate_that_covers_every_address_has_no_stranger() -> None:
    assert foreign_address(["0.0.0.0/0", "::/0"]) is None
    halves = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]
    assert foreign_address(halves) is None


def test_the_last_gap_is_found() -> None:
    everything_but_one = [str(net) for net in _all_but("10.20.30.40")]
    assert foreign_address([*everything_but_one, "::/0"]) == "10.20.30.40"


def _all_but(address: str) -> list[ipaddress.IPv4Network]:
    hole = ipaddress.ip_network(address)
    assert isinstance(hole, ipaddress.IPv4Network)
    return list(ipaddress.ip_network("0.0.0.0/0").address_exclude(hole))  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 2**16 - 1), max_size=20), st.integers(1, 16))
def test_a_stranger_is_outside_every_network(starts: list[int], length: int) -> None:
    cidrs = {str(ipaddress.ip_network((start << 16, length), strict=False)) for start in starts}
    found = foreign_address(cidrs)
    assert found is not None
    address = ipaddress.ip_address(found)
    assert not any(address in ipaddress.ip_network(cidr) for cidr in cidrs)
