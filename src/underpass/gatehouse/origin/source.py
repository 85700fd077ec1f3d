"""From which address the origin sees its visitors come: never loopback, where that can be helped.

Applications that let their own machine in without a password test whether the peer is loopback, and
whatever reaches them through a tunnel on this machine looks so. A socket that is bound to another
address of this machine may connect to a loopback listener all the same (Linux and macOS, no rights
needed), and the origin sees that address. All of 127.0.0.0/8 counts as loopback to them, so another
address out of it would be no help.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Final

import psutil

LOOK_AGAIN_SECONDS: Final = 30.0
"""How long the machine's addresses are remembered: a laptop changes networks."""

_BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
# ip(7): the port is chosen when connecting, so that a port can serve several destinations at once.
# Python names it from 3.12 on.

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def choose(candidates: Iterable[str], host: str) -> str:
    """The address of ``candidates`` to come from when connecting to ``host``; "" for none.

    Only for loopback hosts: elsewhere the kernel chooses. Of several the first in the order of
    numbers, public ones before private ones, so that the choice does not flap.
    """
    there = ipaddress.ip_address(host)
    if not there.is_loopback:
        return ""
    usable = [each for each in map(_parsed, candidates) if each is not None]
    same = [each for each in usable if each.version == there.version]
    return str(min(same, key=lambda each: (each.is_private, int(each)))) if same else ""


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None  # link-local ones of IPv6 are written with an interface
    is_odd = address.is_loopback or address.is_link_local or address.is_unspecified
    return None if is_odd or address.is_multicast else address


def machine_addresses() -> tuple[str, ...]:
    """All addresses of this machine, as the system writes them."""
    families = (socket.AF_INET, socket.AF_INET6)
    return tuple(
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in families
    )


class OriginSource:
    """Binds sockets for the origin. ``now`` is a monotonic clock."""

    def __init__(
        self,
        now: Callable[[], float],
        look: Callable[[], tuple[str, ...]] = machine_addresses,
    ) -> None:
        self._now = now
        self._look = look
        self._addresses: tuple[str, ...] = ()
        self._looked_at = -LOOK_AGAIN_SECONDS

    def address_for(self, host: str) -> str:
        """Where a connection to ``host`` would come from; "": as the kernel likes."""
        if not ipaddress.ip_address(host).is_loopback:
            return ""
        if self._now() - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._addresses = self._look()
            self._looked_at = self._now()
        return choose(self._addresses, host)

    def bound_socket(self, host: str) -> socket.socket | None:
        """A socket to connect to ``host`` with; None where any will do, or nothing helps.

        Raises ``OSError`` when no descriptor is left.
        """
        for is_second_look in (False, True):
            if is_second_look:
                self._looked_at = -LOOK_AGAIN_SECONDS
            address = self.address_for(host)
            if not address:
                return None
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            sock.setblocking(False)
            try:
                if sys.platform == "linux":
                    sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((address, 0))
            except OSError:
                sock.close()  # it was this machine's a moment ago
            else:
                return sock
        return None
