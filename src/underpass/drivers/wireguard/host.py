"""One host's part of the network on this machine: brought up, kept as the files say, taken down.

The topology and the keys are looked at again and again: a host that was added or removed, a key
that was replaced, an endpoint that moved are followed live, touching nobody else's traffic.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from underpass.drivers.wireguard.configs import wanted_device
from underpass.drivers.wireguard.control import Control, UapiControl, WgControl
from underpass.drivers.wireguard.device import (
    Change,
    Device,
    SetPeer,
    WantedDevice,
    active_key,
    changes,
)
from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.health import Code, Finding
from underpass.drivers.wireguard.host_files import HostFiles
from underpass.drivers.wireguard.links import Links, links_of
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.rules import Rules
from underpass.drivers.wireguard.topology import Endpoint, Host
from underpass.drivers.wireguard.watch import PROBE_SECONDS, Watch
from underpass.model.errors import UnderpassError

log = logging.getLogger(__name__)

READY_SECONDS: Final = 8.0
"""What wireguard-go may take to make its device."""

FOLLOW_SECONDS: Final = 0.2
"""How often the files are looked at; a key's rotation costs no more than that."""

RESOLVE_SECONDS: Final = 5.0

Say = Callable[[str, Finding], None]


class HostInterface:
    """The interface of one host. ``bring_up`` once its device can be made, ``take_down`` last."""

    def __init__(
        self,
        files: HostFiles,
        interface: str,
        place: Place,
        *,
        userspace: bool,
        ports: Callable[[], tuple[int, ...]],
        listen: int | None = None,
        guarded: bool = True,
    ) -> None:
        """``userspace``: a program makes the device, and is running. ``ports`` are the doors on
        the tunnel address; ``guarded``: nothing else comes in."""
        self.files = files
        self.interface = interface
        self.place = place
        self.links: Links = links_of(place)
        self.control: Control = UapiControl(interface) if userspace else WgControl(interface, place)
        self.topology, self._keyring = files.load()
        self.device = Device()
        self.wanted: WantedDevice | None = None
        self._rules = Rules(place, interface)
        self._userspace = userspace
        self._ports = ports
        self._listen = listen
        self._guarded = guarded
        self._made = False
        self._mark: object = None
        self._resolved: dict[str, Endpoint] = {}
        self._watch = Watch(place, self.me.address.version)

    @property
    def me(self) -> Host:
        """This host."""
        return self.topology.host(self.files.host)

    async def bring_up(self) -> None:
        """Rules first, then the device, its peers, its address. Raises ``InterfaceRefused``, and
        what the files are at fault with; take it down then, too."""
        self._mark = self.files.mark()
        if self._guarded:
            forwards = self.topology.forwards(self.files.host)
            is_ours = await self._rules.put(self.me.address, self._ports(), forwards=forwards)
            if is_ours and not self._userspace:
                # The kernel keeps an interface when the process that made it was killed.
                await self.links.remove(self.interface)
        if not self._userspace:
            if not await self.links.make(self.interface):
                advice = "modprobe wireguard, or without --mode (wireguard.mode): by wireguard-go"
                raise InterfaceRefused(self.interface, "this kernel has no WireGuard", advice)
            self._made = True
        self.device = await self._first_look()
        await self._resolve()
        await self._apply()
        address = f"{self.me.address}/{self.topology.subnet.prefixlen}"
        await self.links.configure(self.interface, address, self.topology.mtu, ())
        if self.topology.forwards(self.files.host):
            await asyncio.to_thread(self._forward)

    async def tend(self, say: Say) -> None:
        """Follow the files and look at the peers until cancelled; ``say`` hears every finding of
        every peer, again and again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="underpass: follow the topology")
            group.create_task(self._look(say), name="underpass: look at peers")

    def rest(self) -> None:
        """Ask nobody any more: the device has gone. Idempotent."""
        self._watch.close()

    async def take_down(self) -> None:
        """Remove what ``bring_up`` made, in the opposite order. Idempotent."""
        self.rest()
        if self._made:
            await self.links.remove(self.interface)
            self._made = False
        if self._guarded:
            await self._rules.remove()

    def rejected(self, address: str) -> None:
        """The device said that it was called with a key it does not know."""
        if self.wanted is not None:
            self._watch.rejected(address, self.device, self.wanted.peers)

    # The files

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            mark = self.files.mark()
            rotates = self.wanted is not None and any(len(it.keys) > 1 for it in self.wanted.peers)
            if mark == self._mark and not rotates:
                continue
            try:
                if mark != self._mark:
                    await self._reload()
                    self._mark = mark
                self.device = await self.control.read()
                await self._apply()
            except (UnderpassError, OSError) as error:
                # What was good goes on: a file may be half written, or wrong for a while.
                self._mark = mark
                hint = f"; {error.hint}" if isinstance(error, UnderpassError) and error.hint else ""
                log.warning("the topology is not followed: %s%s", error, hint)

    async def _reload(self) -> None:
        topology, keyring = self.files.load()
        former, self.topology = self.topology, topology
        if topology.host(self.files.host).address != former.host(self.files.host).address:
            self.topology = former
            raise InterfaceRefused(self.interface, "its own address changed: start it anew")
        self._keyring = keyring
        await self._resolve()
        forwards = topology.forwards(self.files.host)
        if forwards != former.forwards(self.files.host):
            if self._guarded:
                await self._rules.put(self.me.address, self._ports(), forwards=forwards)
            if forwards:
                await asyncio.to_thread(self._forward)

    async def _apply(self) -> list[Change]:
        self.wanted = wanted_device(
            self.topology,
            self._keyring,
            self.files.host,
            resolved=self._resolved,
            listen=self._listen,
        )
        found = changes(self.device, self.wanted)
        await self.control.apply(found)
        if found:
            self.device = await self.control.read()
        return found

    async def _resolve(self, names: frozenset[str] | None = None) -> None:
        """Look up the endpoints of neighbours; what cannot be looked up stays as it was."""
        loop = asyncio.get_running_loop()
        for name in self.topology.neighbours(self.files.host):
            endpoint = self.topology.hosts[name].endpoint
            if endpoint is None or (names is not None and name not in names):
                continue
            if (address := literal(endpoint.host)) is None:
                try:
                    async with asyncio.timeout(RESOLVE_SECONDS):
                        found = await loop.getaddrinfo(
                            endpoint.host, endpoint.port, type=socket.SOCK_DGRAM
                        )
                except (OSError, TimeoutError, UnicodeError):
                    log.warning("the name %s of %s cannot be looked up", endpoint.host, name)
                    continue
                address = str(found[0][4][0])
            self._resolved[name] = Endpoint(address, endpoint.port)

    # The peers

    async def _look(self, say: Say) -> None:
        moved_at: dict[str, float] = {}
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                self.device = await self.control.read()
            except InterfaceRefused as error:
                # A frozen or dying device: whoever runs it will say so.
                log.debug("the device cannot be read: %s", error)
                await asyncio.sleep(PROBE_SECONDS)
                continue
            assert self.wanted is not None
            addresses = {name: host.address for name, host in self.topology.hosts.items()}
            peers = [peer for peer in self.wanted.peers if peer.host in addresses]
            findings = await self._watch.look(self.device, peers, addresses)
            for name, finding in findings.items():
                say(name, finding)
                bad = finding.code in (Code.STALE, Code.PATH_BLOCKED, Code.NEVER)
                if bad and loop.time() - moved_at.get(name, 0.0) > 10 * PROBE_SECONDS:
                    moved_at[name] = loop.time()
                    await self._find_again(name)
            await asyncio.sleep(max(0.05, PROBE_SECONDS - (loop.time() - began)))

    async def _find_again(self, name: str) -> None:
        """A name may lead elsewhere by now, and WireGuard itself never asks again."""
        former = self._resolved.get(name)
        await self._resolve(frozenset((name,)))
        endpoint = self._resolved.get(name)
        if endpoint is None or self.wanted is None or endpoint == former:
            return
        peer = next(it for it in self.wanted.peers if it.host == name)
        with suppress(InterfaceRefused):
            await self.control.apply([SetPeer(active_key(self.device, peer), endpoint=endpoint)])

    # The kernel

    async def _first_look(self) -> Device:
        """The device, as soon as it is there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while True:
            try:
                return await self.control.read()
            except InterfaceRefused:
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(0.02)  # nobody says when a socket appears

    def _forward(self) -> None:
        """Let this host pass on what comes in by this interface, and by no other."""
        if self.me.address.version == 6:
            log.warning("forwarding IPv6 needs net.ipv6.conf.all.forwarding=1")
            return
        path = f"/proc/sys/net/ipv4/conf/{self.interface}/forwarding"

        def write() -> None:
            descriptor = os.open(path, os.O_WRONLY)
            try:
                os.write(descriptor, b"1")
            finally:
                os.close(descriptor)

        try:
            self.place.inside(write)
        except OSError as error:
            raise InterfaceRefused(
                self.interface, f"it cannot be made to forward: {error.strerror}"
            ) from None


def literal(text: str) -> str | None:
    """``text`` if it is an address, else None."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
