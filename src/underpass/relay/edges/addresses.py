"""Visitors' addresses: which may come at all, and how many connections each may hold."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain_address(text: str) -> str:
    """The address as rules see it: without a zone, IPv4 taken out of its IPv6 mapping."""
    if ":" not in text:
        return text
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=4096)
def parse_networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks, strictly: ``10.0.0.1/8`` raises ``ValueError``."""
    return tuple(ipaddress.ip_network(cidr) for cidr in cidrs)


def is_within(address: str, cidrs: tuple[str, ...]) -> bool:
    """Whether a plain address lies in one of the networks. What cannot be parsed lies in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(
        parsed.version == network.version and parsed in network for network in parse_networks(cidrs)
    )


class SourceCap:
    """Counts connections by source: an IPv4 address, or the /64 an IPv6 visitor can roam in."""

    __slots__ = ("_counts", "_exempt", "_limit")

    def __init__(self, limit: int, exempt: Iterable[str] = ()) -> None:
        """``limit`` 0: no limit. ``exempt`` are CIDRs of proxies, behind which many stand."""
        self._limit = limit
        self._exempt = tuple(exempt)
        self._counts: dict[str, int] = {}

    def take(self, address: str) -> bool:
        """Count one connection; False: the source holds all it may. Then do not ``give``."""
        source = _source(address)
        count = self._counts.get(source, 0)
        if count >= self._limit > 0 and not is_within(address, self._exempt):
            return False
        self._counts[source] = count + 1
        return True

    def give(self, address: str) -> None:
        """One connection that was counted is gone."""
        source = _source(address)
        count = self._counts.get(source, 0)
        if count > 1:
            self._counts[source] = count - 1
        else:
            self._counts.pop(source, None)

    def __len__(self) -> int:
        return len(self._counts)


def _source(address: str) -> str:
    if ":" not in address:
        return address
    return ipaddress.IPv6Address(address).exploded[:19]
