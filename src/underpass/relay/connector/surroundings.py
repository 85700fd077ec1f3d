"""What happens to the machine around us: it slept, it was stopped, its network changed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

import psutil

TICK: Final = 1.0
"""Seconds between looks at the clocks: a wake-up is noticed within this."""
JUMP: Final = 0.5
"""Seconds that the sleeping clock may drift from the waking one without meaning sleep."""
STALL: Final = 2.5
"""Seconds by which a tick may be late before it means that this process was stopped."""
SETTLE: Final = 0.2
"""Seconds to let a burst of network changes end before anybody is told."""

_NETLINK_ROUTE: Final = 0
# RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE,
# rtnetlink(7)
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400


def slept_seconds() -> float:
    """A number that grows only while the machine sleeps."""
    if sys.platform == "darwin":
        return time.monotonic() - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class Surroundings:
    """Calls ``woke`` after sleep or a stop, ``moved`` after a change of network."""

    def __init__(self, woke: Callable[[], None], moved: Callable[[], None]) -> None:
        self._woke = woke
        self._moved = moved
        self._settling: asyncio.TimerHandle | None = None

    async def watch(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        netlink = _netlink()
        if netlink is not None:
            loop.add_reader(netlink, self._netlink_readable, netlink)
        try:
            await self._watch_clocks(poll_network=netlink is None)
        finally:
            if netlink is not None:
                loop.remove_reader(netlink)
                netlink.close()
            if self._settling is not None:
                self._settling.cancel()

    async def _watch_clocks(self, *, poll_network: bool) -> None:
        slept, last = slept_seconds(), time.monotonic()
        addresses = psutil.net_if_addrs() if poll_network else None
        while True:
            await asyncio.sleep(TICK)
            now_slept, now = slept_seconds(), time.monotonic()
            if now_slept - slept > JUMP or now - last > TICK + STALL:
                self._woke()
            slept, last = now_slept, now
            if poll_network:
                found = psutil.net_if_addrs()
                if found != addresses:
                    addresses = found
                    self._moved()

    def _netlink_readable(self, sock: socket.socket) -> None:
        try:
            while sock.recv(65536):
                pass
        except BlockingIOError:
            pass
        except OSError:
            # ENOBUFS: more changes than fit; what matters is that there was one
            pass
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE, self._settled)

    def _settled(self) -> None:
        self._settling = None
        self._moved()


def _netlink() -> socket.socket | None:
    """A socket that hears of network changes; None where there is no netlink."""
    if not hasattr(socket, "AF_NETLINK"):
        return None
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    except OSError:
        return None
    try:
        sock.setblocking(False)
        sock.bind((0, _GROUPS))
    except OSError:
        sock.close()
        return None
    os.set_inheritable(sock.fileno(), False)
    return sock
