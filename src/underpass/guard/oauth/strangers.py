"""How much strangers may do: a rate for all of them, and a smaller one for each network.

Whoever has one address cannot use up what is there for everybody. Addresses that nobody vouches for
are told apart by nothing, and share the rate for all.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable
from typing import Final

IPV6_NETWORK: Final = 64
"""Bits: one customer has at least that much to move about in."""


def network_of(address: str) -> str:
    """What counts as one visitor: an IPv4 address, an IPv6 /64; "" for none."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_NETWORK), strict=False))
    return str(found)


class Allowance:
    """A bucket of ``burst`` that fills by one each ``refill`` seconds; of its last ``burst``, one
    network may have taken a third. Bounded by ``burst``."""

    def __init__(self, now: Callable[[], float], burst: int, refill: float) -> None:
        self._now = now
        self._burst = burst
        self._refill = refill
        self._left = float(burst)
        self._counted_at = now()
        self._taken: deque[tuple[float, str]] = deque(maxlen=burst)

    def take(self, address: str = "") -> bool:
        """Take one for a visitor from ``address``; False: there is none."""
        now, whose = self._now(), network_of(address)
        self._left = min(float(self._burst), self._left + (now - self._counted_at) / self._refill)
        self._counted_at = now
        while self._taken and now - self._taken[0][0] >= self._burst * self._refill:
            self._taken.popleft()
        if self._left < 1:
            return False
        if whose and sum(each == whose for _, each in self._taken) >= max(1, self._burst // 3):
            return False
        self._left -= 1
        self._taken.append((now, whose))
        return True
