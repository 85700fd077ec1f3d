"""Interfaces, addresses and routes: by ``pyroute2`` where it is installed, else by ``ip``."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.place import Place, said
from underpass.drivers.wireguard.topology import Subnet


class Links(Protocol):
    """The interfaces of one place."""

    async def make(self, interface: str) -> bool:
        """Make a WireGuard interface in the kernel; False where the kernel has none. Raises
        ``InterfaceRefused``."""

    async def configure(
        self, interface: str, address: str, mtu: int, routes: Sequence[Subnet]
    ) -> None:
        """Give it ``address`` (with its prefix length), take it up, and lead ``routes`` to it.
        Raises ``InterfaceRefused``."""

    async def remove(self, interface: str) -> None:
        """Remove it with all it has. Idempotent."""


class IpLinks:
    """By the program ``ip``."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def make(self, interface: str) -> bool:
        """See ``Links``."""
        code, lines = await self._place.run("ip", "link", "add", interface, "type", "wireguard")
        if code == 0:
            return True
        why = said(lines)
        if "Unknown device type" in why or "not supported" in why:
            return False
        raise InterfaceRefused(interface, why)

    async def configure(
        self, interface: str, address: str, mtu: int, routes: Sequence[Subnet]
    ) -> None:
        """See ``Links``."""
        commands = [
            ("addr", "replace", address, "dev", interface),
            ("link", "set", interface, "mtu", str(mtu), "up"),
            *(("route", "replace", str(route), "dev", interface) for route in routes),
        ]
        for command in commands:
            family = ("-6",) if ":" in command[2] else ()
            code, lines = await self._place.run("ip", *family, *command)
            if code:
                raise InterfaceRefused(interface, said(lines))

    async def remove(self, interface: str) -> None:
        """See ``Links``."""
        await self._place.run("ip", "link", "del", interface)


class NetlinkLinks:
    """By netlink itself (the extra ``mesh``)."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def make(self, interface: str) -> bool:
        """See ``Links``."""
        try:
            await self._with_netlink(
                interface, lambda route: route.link("add", ifname=interface, kind="wireguard")
            )
        except InterfaceRefused as error:
            if "not supported" in error.why:
                return False
            raise
        return True

    async def configure(
        self, interface: str, address: str, mtu: int, routes: Sequence[Subnet]
    ) -> None:
        """See ``Links``."""
        host, _, length = address.partition("/")

        def work(route: Any) -> None:
            index = route.link_lookup(ifname=interface)[0]
            route.addr("replace", index=index, address=host, prefixlen=int(length))
            route.link("set", index=index, mtu=mtu, state="up")
            for each in routes:
                route.route("replace", dst=str(each), oif=index)

        await self._with_netlink(interface, work)

    async def remove(self, interface: str) -> None:
        """See ``Links``."""

        def work(route: Any) -> None:
            for index in route.link_lookup(ifname=interface):
                route.link("del", index=index)

        try:
            await self._with_netlink(interface, work)
        except InterfaceRefused:
            pass  # it has gone meanwhile

    async def _with_netlink(self, interface: str, work: Any) -> None:
        pyroute2 = importlib.import_module("pyroute2")

        def inside() -> None:
            with pyroute2.IPRoute() as route:
                work(route)

        try:
            # In a thread: it runs a loop of its own, which no other may be running around.
            await asyncio.to_thread(self._place.inside, inside)
        except pyroute2.NetlinkError as error:
            raise InterfaceRefused(interface, str(error.args[-1]).lower()) from None
        except (OSError, IndexError) as error:
            why = getattr(error, "strerror", None) or "there is no such interface"
            raise InterfaceRefused(interface, why.lower()) from None


def links_of(place: Place) -> Links:
    """The better way that is there."""
    return NetlinkLinks(place) if importlib.util.find_spec("pyroute2") else IpLinks(place)
