"""Who a stranger is to an ``ip`` gate: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NOBODYS: Final = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1")
# Addresses of documentation (RFC 5737, RFC 3849), which belong to nobody on the Internet.


def foreign_address(cidrs: Iterable[str]) -> str | None:
    """An address outside all of ``cidrs``; None when they cover every address there is."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    for address in _candidates(networks):
        if not any(address in network for network in networks):
            return str(address)
    return None


def _candidates(networks: list[Network]) -> Iterator[Address]:
    """Nobody's addresses; then the edges: where not everything is covered, something uncovered
    begins right behind a network, or at the very first address."""
    yield from map(ipaddress.ip_address, NOBODYS)
    for network in networks:
        try:
            yield network.broadcast_address + 1
        except ValueError:
            continue  # it is the last address there is
    yield ipaddress.IPv4Address(0)
    yield ipaddress.IPv6Address(0)
