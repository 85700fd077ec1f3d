"""The rules that make an interface a door and nothing else: one nftables table, made and undone.

What comes in by the interface may answer what went out, reach the doors that were opened on the
host's own address, and be pinged; nothing more. What is forwarded stays inside the network, and
only at a host that is on the way between two others. And nobody reaches the tunnel address by
another interface, which the kernel would let him.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

import psutil

from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.place import Place, said
from underpass.drivers.wireguard.topology import Address

PREFIX: Final = "underpass_wg_"
HOW_TO_GET_IT: Final = "install it: apt-get install nftables"


def table_name(interface: str, pid: int) -> str:
    """The table for ``interface``, kept by the process ``pid``."""
    return f"{PREFIX}{pid}_" + "".join(each if each.isalnum() else "_" for each in interface)


def ruleset(
    table: str, interface: str, address: Address, ports: Iterable[int], *, forwards: bool
) -> str:
    """What nft reads: the whole table, in one step. Pure."""
    family, ping = ("ip6", "icmpv6") if address.version == 6 else ("ip", "icmp")
    doors = ", ".join(str(port) for port in sorted(set(ports)))
    lines = [
        f"table inet {table} {{",
        " chain door {",
        "  type filter hook input priority -10; policy accept;",
        f'  iifname != {{ "{interface}", "lo" }} {family} daddr {address} counter drop',
        f'  iifname != "{interface}" accept',
        "  ct state established,related accept",
        f"  {family} daddr {address} {ping} type echo-request accept",
    ]
    if address.version == 6:
        lines.append("  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept")
    if doors:
        lines.append(f"  {family} daddr {address} tcp dport {{ {doors} }} accept")
    lines += [
        "  counter drop",
        " }",
        " chain way {",
        "  type filter hook forward priority -10; policy accept;",
    ]
    if forwards:
        lines.append(f'  iifname "{interface}" oifname "{interface}" accept')
    lines += [
        f'  iifname "{interface}" counter drop',
        f'  oifname "{interface}" counter drop',
        " }",
        "}",
        "",
    ]
    return "\n".join(lines)


class Rules:
    """The table of one interface. ``put`` it before the interface is up, ``remove`` it last."""

    def __init__(self, place: Place, interface: str) -> None:
        self._place = place
        self._interface = interface
        self.table = table_name(interface, os.getpid())

    async def put(self, address: Address, ports: Iterable[int], *, forwards: bool) -> bool:
        """Put the rules in force, in the place of former ones without a gap between; returns
        whether a killed process of ours had left some for this interface. Raises
        ``InterfaceRefused``: without them nothing is opened, and former ones stay."""
        if not self._place.has("nft"):
            raise InterfaceRefused(self._interface, "there is no program nft", HOW_TO_GET_IT)
        stale = await self._stale()
        # One file is one step. A table must be there to be deleted, so it is named first.
        former = "".join(
            f"table inet {table}\ndelete table inet {table}\n" for table in [self.table, *stale]
        )
        rules = ruleset(self.table, self._interface, address, ports, forwards=forwards)
        path = self._place.directory / "rules.nft"
        path.write_text(former + rules, "ascii")
        try:
            code, lines = await self._place.run("nft", "-f", str(path))
        finally:
            path.unlink(missing_ok=True)
        # nft ignores what it cannot parse unless its exit code is looked at.
        if code:
            why = f"nft refused the rules that guard it: {said(lines)}"
            raise InterfaceRefused(self._interface, why)
        return bool(stale)

    async def remove(self) -> None:
        """Undo exactly what ``put`` did. Idempotent."""
        if self._place.has("nft"):
            await self._place.run("nft", "delete", "table", "inet", self.table)

    async def _stale(self) -> list[str]:
        """Tables that a killed process of ours has left for this interface."""
        _, lines = await self._place.run("nft", "list", "tables")
        ending = table_name(self._interface, 0).removeprefix(f"{PREFIX}0")
        return [table for table, pid in _ours(lines) if table.endswith(ending) and not _lives(pid)]


def _ours(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        table = line.rpartition(" ")[2]
        pid = table.removeprefix(PREFIX).partition("_")[0]
        if table.startswith(PREFIX) and pid.isdigit():
            yield table, int(pid)


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid)
