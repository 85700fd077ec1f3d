"""WireGuard as an engine with an interface: the gatehouse listens at the tunnel address.

The interface is the kernel's, or that of a wireguard-go which is kept running. Only what its peers
do makes it attached: the witness, a neighbour that dials back for the proofs, has to answer.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from underpass.drivers.base import Counters, Driver, LinkPhase, Opened
from underpass.drivers.errors import EngineAway
from underpass.drivers.keeper import Keeper, Tell
from underpass.drivers.kept_engine import KeptEngine, Run
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.plans import Plan, Site
from underpass.drivers.process import minimal
from underpass.drivers.wireguard.control import SOCKETS
from underpass.drivers.wireguard.health import Code, Finding
from underpass.drivers.wireguard.host import HostInterface
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.reading import read_rejected
from underpass.drivers.wireguard.run import KernelRun
from underpass.drivers.wireguard.settings import WireGuardSettings
from underpass.drivers.wireguard.topology import Topology
from underpass.drivers.wireguard.tunnel_door import TunnelDoor, listen_at
from underpass.drivers.wireguard.witness import dial_back
from underpass.gatehouse.ports import Carrier
from underpass.model.errors import UnderpassError
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

HOPELESS: Final = (Code.WRONG_KEY, Code.PATH_BLOCKED, Code.NEVER)
"""Findings with which an opening is given up; the same call may be made again."""


class InterfaceEngine(KeptEngine):
    """Carries one tunnel by an interface. Satisfies ``Engine``, ``DialsPublic``, ``Redials`` and
    ``Counts``."""

    def __init__(
        self,
        driver: Driver,
        spec: TunnelSpec,
        site: Site,
        settings: WireGuardSettings,
        interface: str,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(driver, spec, site, jitter=jitter)
        self._settings = settings
        self._interface = interface
        self._place = Place(site.directory, site.environment, settings.netns)
        self._door: TunnelDoor | None = None
        self._host: HostInterface | None = None
        self._findings: dict[str, Finding] = {}
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"InterfaceEngine({self._interface!r}, {self.program!r})"

    @property
    def interface(self) -> str:
        """The interface's name."""
        return self._interface

    @property
    def findings(self) -> dict[str, Finding]:
        """The newest finding of each neighbour."""
        return dict(self._findings)

    # Engine

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        """Listen at the tunnel address, bring the interface up behind its rules; returns when the
        witness answers. Raises what ``Keeper.start`` does, and what the files are at fault with."""
        try:
            topology, keyring = self._settings.files.load()
            keyring.private(self._settings.host)
            listener = self._listen(topology)
            try:
                self._door = await TunnelDoor.open(carrier, spec.kind, listener)
            except BaseException:
                listener.close()
                raise
            url = url_at(topology, self._settings.host, self._door.port, spec.kind)
            self._plan = plan = replace(self._driver.plan(spec, self._site), url=url)
            run = self._run = self._make_run(plan)
            await run.start()
        except BaseException:
            await self.close()
            raise
        return self._opened(url, spec)

    async def close(self) -> None:
        """End the device, its rules and the door. Idempotent."""
        run, self._run = self._run, None
        if run is not None:
            await run.close()
        if self._ending is not None:
            await self._ending
        if self._host is not None:
            await self._host.take_down()
            self._host = None
            # A program that was killed has left it.
            with suppress(OSError):
                (SOCKETS / f"{self._interface}.sock").unlink(missing_ok=True)
        door, self._door = self._door, None
        if door is not None:
            await door.close()

    # DialsPublic

    async def dial_public(self) -> socket.socket:
        """See ``DialsPublic``: the witness dials back."""
        host, door = self._host, self._door
        if host is None or door is None:
            raise ConnectionRefusedError("the interface is not up")
        witness = host.topology.host(witness_of(host.topology, self._settings))
        return await dial_back(self._place, str(witness.address), door.port)

    # Counts

    async def counters(self) -> Counters:
        """What the device itself counted, of all its peers; connections are not its business."""
        if self._host is None:
            return Counters()
        peers = (await self._host.control.read()).peers.values()
        return Counters(
            bytes_in=sum(peer.received for peer in peers),
            bytes_out=sum(peer.sent for peer in peers),
        )

    # Looking after it

    def _make_run(self, plan: Plan) -> Run:
        if not plan.argv:
            return KernelRun(self.name, plan.url, self._attend, self._say)
        return Keeper(
            plan,
            directory=self._site.directory,
            environment={**minimal(self._site.environment), **plan.environment},
            read=self._read,
            say=self._say,
            jitter=self._jitter,
            watch=self._attend,
            circuit=self._circuit,
        )

    def _read(self, line: str) -> Observation | None:
        address = read_rejected(line)
        if address is not None and self._host is not None:
            self._host.rejected(address)
        return self._driver.read(line)

    async def _attend(self, tell: Tell) -> None:
        """One life of the device: configured and looked after. Its rules stay until ``close``."""
        assert self._door is not None
        assert self._plan is not None
        self._findings.clear()
        try:
            host = self._host = HostInterface(
                self._settings.files,
                self._interface,
                self._place,
                userspace=bool(self._plan.argv),
                ports=partial(_ports, self._door),
                listen=self._settings.listen,
            )
            try:
                await host.bring_up()
                await host.tend(partial(self._hear, tell))
            finally:
                host.rest()
        except* UnderpassError as group:
            error = group.exceptions[0]
            assert isinstance(error, UnderpassError)
            taken = "taken" in error.message
            code = "port-taken" if taken else error.code
            await self._give_up(tell, Refusal(code, error.message, error.hint or "", not taken))

    def _hear(self, tell: Tell, name: str, finding: Finding) -> None:
        former, self._findings[name] = self._findings.get(name), finding
        assert self._host is not None
        if name != witness_of(self._host.topology, self._settings):
            return
        if finding.is_live:
            if former is None or not former.is_live:
                tell(Carrying())
            return
        if self._view.phase is not LinkPhase.DIALLING:
            if former is None or former.code is not finding.code:
                tell(Faltering(finding.code.value, f"{name}: {finding.detail}"))
        elif finding.code in HOPELESS and (self._ending is None or self._ending.done()):
            refusal = Refusal(
                finding.code.value, f"{name}: {finding.detail}", finding.hint, finding.is_final
            )
            self._ending = asyncio.create_task(
                self._give_up(tell, refusal), name="underpass: give wireguard up"
            )

    async def _give_up(self, tell: Tell, refusal: Refusal) -> None:
        tell(refusal)
        program = self.program
        if program is not None:
            await program.stop()

    def _listen(self, topology: Topology) -> socket.socket:
        address, port = topology.host(self._settings.host).address, self._settings.port
        try:
            return listen_at(self._place, address, port)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = f"port {port} at {address} is taken" if taken else str(error.strerror).lower()
            raise EngineAway(
                self.name,
                "port-taken" if taken else "door-unopened",
                why,
                "ask for another: --engine-option wireguard.port=PORT, or 0 for any",
            ) from None


def url_at(topology: Topology, host: str, port: int, kind: Kind) -> str:
    """Where visitors inside the network come. Pure."""
    address = topology.host(host).address
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{'tcp' if kind is Kind.TCP else 'http'}://{shown}:{port}"


def witness_of(topology: Topology, settings: WireGuardSettings) -> str:
    """The neighbour that dials back: the chosen one, else the first with an endpoint, else the
    first. Pure."""
    if settings.witness:
        return settings.witness
    near = topology.neighbours(settings.host)
    return next((each for each in near if topology.hosts[each].endpoint is not None), near[0])


def _ports(door: TunnelDoor) -> tuple[int, ...]:
    return (door.port,)
