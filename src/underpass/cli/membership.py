"""Taking part in a WireGuard network in the foreground: brought up, told of, taken down."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from underpass.api.places import runtime_dir
from underpass.cli.running import Stop
from underpass.cli.terminal import json_line, prose, result
from underpass.cli.topologies import SCHEMA, load_network
from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.errors import EngineMissing
from underpass.drivers.orphans import claim, sweep
from underpass.drivers.plans import Site
from underpass.drivers.registry import load
from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.health import Finding
from underpass.drivers.wireguard.member import Member, Membership, serve_witness
from underpass.drivers.wireguard.place import Place, require_namespace
from underpass.drivers.wireguard.settings import WireGuardSettings
from underpass.drivers.wireguard.witness import PORT
from underpass.guard.private_files import private_directory
from underpass.model.errors import UnderpassError


class Teller:
    """Says what changes, for people or for programs."""

    def __init__(self, host: str, *, as_json: bool) -> None:
        self._host = host
        self._as_json = as_json
        self.ended: asyncio.Future[UnderpassError] = asyncio.get_running_loop().create_future()

    def tell(self, event: str, words: str, **facts: Any) -> None:
        """One change."""
        if self._as_json:
            json_line({"schema": SCHEMA, "event": event, "host": self._host, **facts})
        elif event == "up":
            result(words)
        else:
            prose(words)

    def hear(self, name: str, finding: Finding) -> None:
        """A neighbour's state changed."""
        words = f"{name}: {finding.code}" + (f": {finding.detail}" if finding.detail else "")
        facts = {"state": str(finding.code), "detail": finding.detail, "hint": finding.hint}
        self.tell("peer", words, peer=name, **facts)

    def say(self, view: LinkView) -> None:
        """The device's own state changed."""
        if view.phase is LinkPhase.LOST:
            self.tell("device-lost", f"the device is lost: {view.detail}", detail=view.detail)
        elif view.phase is LinkPhase.ENDED and view.error is not None and not self.ended.done():
            self.ended.set_result(view.error)


async def take_part(options: Mapping[str, str], *, guarded: bool, as_json: bool) -> int:
    """Take part until a signal; returns the exit code."""
    settings = WireGuardSettings.parse(options)
    require_namespace(settings.netns)
    topology, _ = load_network(settings.topology, settings.keys)
    topology.host(settings.host)
    directory = _own_directory()
    try:
        site = Site("wg", directory, options=options, environment=dict(os.environ))
        detection = await load("wireguard").detect(site)
        if not detection.is_usable or detection.facts.get("mode") == "rootless":
            why = detection.why_not or "this process may not make interfaces and rules"
            raise EngineMissing("wireguard", why, detection.hint or "run it as root")
        is_kernel = detection.facts["mode"] == "kernel"
        membership = Membership(
            settings.files,
            settings.interface or f"upw-{topology.name}",
            "" if is_kernel else detection.program,
            settings.listen,
            guarded,
        )
        teller = Teller(settings.host, as_json=as_json)
        place = Place(directory, dict(os.environ), settings.netns)
        member = Member(membership, place, hear=teller.hear, say=teller.say)
        return await _until_asked(member, teller, membership.interface)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _until_asked(member: Member, teller: Teller, interface: str) -> int:
    async with Stop() as stop:
        asked = asyncio.create_task(stop.asked.wait(), name="wait for a signal")
        starting = asyncio.create_task(member.start(), name="bring the interface up")
        try:
            await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                address = starting.result()
                words = f"{interface} {address}"
                teller.tell("up", words, interface=interface, address=address)
                ends: list[asyncio.Future[Any]] = [asked, teller.ended]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if teller.ended.done():
                    raise teller.ended.result()
        except OSError as error:
            raise _no_witness(interface, error) from error
        finally:
            starting.cancel()
            asked.cancel()
            await asyncio.gather(starting, asked, return_exceptions=True)
            await member.close()
    return stop.exit_code


async def be_witness(options: Mapping[str, str], *, as_json: bool) -> int:
    """Be a witness until a signal; returns the exit code."""
    settings = WireGuardSettings.parse(options)
    require_namespace(settings.netns)
    topology, _ = load_network(settings.topology, settings.keys)
    address = topology.host(settings.host).address
    directory = _own_directory()
    try:
        place = Place(directory, dict(os.environ), settings.netns)
        async with Stop() as stop:
            try:
                witness = await serve_witness(settings.files, place)
            except OSError as error:
                interface = settings.interface or f"upw-{topology.name}"
                raise _no_witness(interface, error) from error
            try:
                words = f"{address}:{PORT}"
                Teller(settings.host, as_json=as_json).tell("up", words, address=words)
                await stop.asked.wait()
            finally:
                await witness.close()
        return stop.exit_code
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _no_witness(interface: str, error: OSError) -> InterfaceRefused:
    """Why nobody can listen for questions to the witness."""
    if error.errno == errno.EADDRINUSE:
        why = f"port {PORT} at its address is taken: this host takes part already"
        return InterfaceRefused(interface, why, "end the other `underpass wg up`, or its witness")
    why = f"nobody can listen at its address: {(error.strerror or str(error)).lower()}"
    return InterfaceRefused(interface, why, "look what holds the address: ip address")


def _own_directory() -> Path:
    runtime = private_directory(runtime_dir())
    sweep(runtime)
    directory = Path(tempfile.mkdtemp(prefix="engine-", dir=runtime))
    claim(directory)
    return directory
