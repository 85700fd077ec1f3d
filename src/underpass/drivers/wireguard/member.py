"""A host that only takes part: its interface is kept, and it is a witness for its neighbours.

What ``underpass wg up`` runs. The gatehouse is somebody else's; here nothing is exposed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from underpass.drivers.base import LinkView
from underpass.drivers.keeper import Keeper, Tell
from underpass.drivers.observations import Carrying, Refusal
from underpass.drivers.plans import DoorKind, Plan
from underpass.drivers.process import minimal
from underpass.drivers.wireguard.control import SOCKETS
from underpass.drivers.wireguard.health import Finding
from underpass.drivers.wireguard.host import HostInterface
from underpass.drivers.wireguard.host_files import HostFiles
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.reading import read_line, read_rejected
from underpass.drivers.wireguard.run import KernelRun
from underpass.drivers.wireguard.tunnel_door import listen_at
from underpass.drivers.wireguard.witness import PORT, Witness
from underpass.model.errors import UnderpassError

ENVIRONMENT = {"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "verbose"}


@dataclass(frozen=True, slots=True)
class Membership:
    """How one host takes part."""

    files: HostFiles
    interface: str
    program: str
    """Path of wireguard-go; "" for the kernel's own device."""
    listen: int | None = None
    guarded: bool = True
    """Nothing comes in by the interface but what answers, pings, and questions to the witness."""


class Member:
    """Takes part. ``start`` it once, ``close`` it in the end."""

    def __init__(
        self,
        membership: Membership,
        place: Place,
        *,
        hear: Callable[[str, Finding], None],
        say: Callable[[LinkView], None],
    ) -> None:
        """``hear`` gets each neighbour's finding when it changes; ``say`` the device's state."""
        self.membership = membership
        self._place = place
        self._hear = hear
        self._say = say
        self._findings: dict[str, Finding] = {}
        self._host: HostInterface | None = None
        self._witness: Witness | None = None
        self._run: Keeper | KernelRun | None = None

    async def start(self) -> str:
        """Bring it up; returns its address. Raises ``InterfaceRefused``, ``EngineAway``,
        ``EngineRefused``, and what the files are at fault with; close it then, too."""
        topology, keyring = self.membership.files.load()
        me = topology.host(self.membership.files.host)
        keyring.private(me.name)
        self._witness = Witness(self._place, listen_at(self._place, me.address, PORT))
        await self._witness.start()
        self._run = self._make_run(self._place.directory)
        await self._run.start()
        return f"{me.address}/{topology.subnet.prefixlen}"

    async def close(self) -> None:
        """Leave nothing. Idempotent."""
        run, self._run = self._run, None
        if run is not None:
            await run.close()
        host, self._host = self._host, None
        if host is not None:
            await host.take_down()
            with suppress(OSError):
                (SOCKETS / f"{self.membership.interface}.sock").unlink(missing_ok=True)
        if self._witness is not None:
            await self._witness.close()

    def _make_run(self, directory: Path) -> Keeper | KernelRun:
        url = f"wireguard://{self.membership.interface}"
        if not self.membership.program:
            return KernelRun("wireguard", url, self._attend, self._say)
        plan = Plan(
            "wireguard",
            "the hosts of the network",
            argv=self._place.words(self.membership.program, "-f", self.membership.interface),
            environment=ENVIRONMENT,
            url=url,
            door=DoorKind.NONE,
        )
        return Keeper(
            plan,
            directory=directory,
            environment={**minimal(self._place.environment), **ENVIRONMENT},
            read=self._read,
            say=self._say,
            jitter=random.random,
            watch=self._attend,
        )

    def _read(self, line: str) -> Refusal | None:
        address = read_rejected(line)
        if address is not None and self._host is not None:
            self._host.rejected(address)
        observation = read_line(line)
        return observation if isinstance(observation, Refusal) else None

    async def _attend(self, tell: Tell) -> None:
        membership = self.membership
        self._findings.clear()
        try:
            host = self._host = HostInterface(
                membership.files,
                membership.interface,
                self._place,
                userspace=bool(membership.program),
                ports=lambda: (PORT,),
                listen=membership.listen,
                guarded=membership.guarded,
            )
            try:
                await host.bring_up()
                tell(Carrying())
                await host.tend(self._found)
            finally:
                host.rest()
        except* UnderpassError as group:
            error = group.exceptions[0]
            assert isinstance(error, UnderpassError)
            tell(Refusal(error.code, error.message, error.hint or "", fatal=True))
            if self._run is not None and self._run.program is not None:
                await self._run.program.stop()

    def _found(self, name: str, finding: Finding) -> None:
        former, self._findings[name] = self._findings.get(name), finding
        if former is None or former.code is not finding.code:
            self._hear(name, finding)


async def serve_witness(files: HostFiles, place: Place) -> Witness:
    """A witness alone, at an interface that something else brought up. Raises ``OSError``."""
    topology, _ = await asyncio.to_thread(files.load)
    witness = Witness(place, listen_at(place, topology.host(files.host).address, PORT))
    await witness.start()
    return witness
