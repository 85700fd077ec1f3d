"""A service that a far host can reach, made local by ssh: ``-L``, ``-D``, Unix sockets.

The local port is ours and stays; behind it ssh listens on a Unix socket that only this user can
open, and is started again as often as the far host comes back.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.foreign_engine import write_files
from underpass.drivers.keeper import Keeper
from underpass.drivers.kept_engine import Run
from underpass.drivers.observations import Observation
from underpass.drivers.plans import DoorKind, Plan, PlannedFile, Site
from underpass.drivers.process import minimal
from underpass.drivers.splice import Door, LocalPort
from underpass.drivers.ssh.command import (
    CONFIG_FILE,
    CONTROL_SOCKET,
    resolved_of,
    shared_control,
    variables,
)
from underpass.drivers.ssh.configuration import fragment, last_hop, write_configuration
from underpass.drivers.ssh.control import ControlMaster, Forward
from underpass.drivers.ssh.reading import read_local
from underpass.drivers.ssh.route import parse_route
from underpass.drivers.ssh.settings import SshSettings
from underpass.drivers.ssh.shared import SharedForward

SOCKS: Final = "socks"

_UNIX: Final = re.compile(r"unix://(/[A-Za-z0-9._/-]{1,100})")
_CHANNEL: Final = re.compile(r"channel \d+: open failed: (?P<what>[^:]+): (?P<why>.+)")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be made local, as the far host names it."""

    host: str = ""
    port: int = 0
    path: str = ""
    """A Unix socket of the far host."""

    @property
    def is_socks(self) -> bool:
        """Every address that the far host can reach, by SOCKS."""
        return not self.host and not self.path

    def __str__(self) -> str:
        if self.is_socks:
            return SOCKS
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.path}" if self.path else f"{host}:{self.port}"


def parse_target(text: str) -> Target:
    """``HOST:PORT``, ``unix:///path`` or ``socks``. Pure; raises ``EngineOptionInvalid``."""
    if text == SOCKS:
        return Target()
    if match := _UNIX.fullmatch(text):
        return Target(path=match[1])
    hops = parse_route(text.removeprefix("tcp://"), option="target")
    if len(hops) != 1 or hops[0].user or not hops[0].port:
        raise EngineOptionInvalid("ssh", "target", "it is HOST:PORT, unix:///path or socks")
    return Target(hops[0].host, hops[0].port)


def forward_of(target: Target, site: Site, inner_port: int) -> tuple[str, str]:
    """The letter and the words of the forward to ``target``. Pure."""
    if target.is_socks:
        return "D", f"127.0.0.1:{inner_port}"
    return "L", f"{site.directory / FAR_SOCKET}:{target.path or target}"


def plan_reach(target: Target, site: Site, inner_port: int = 0) -> Plan:
    """How ``target`` would be made local. Pure. ``inner_port`` is where ssh's own SOCKS listens."""
    settings = SshSettings.parse(site.options)
    kind, spec = forward_of(target, site, inner_port)
    text = write_configuration(settings, resolved_of(site))
    words = (
        *("ssh", "-N", "-T", "-F", str(site.directory / CONFIG_FILE)),
        *("-o", "LogLevel=DEBUG1", "-M", "-S", str(site.directory / CONTROL_SOCKET)),
        *(f"-{kind}", spec, last_hop(settings)),
    )
    return Plan(
        "ssh",
        f"{target} as seen from {settings.hops[-1]}, for programs of this machine",
        argv=() if shared_control(settings, site) is not None else words,
        files=(PlannedFile(site.directory / CONFIG_FILE, text.encode()),),
        environment=variables(site.environment),
        url=f"ssh://{settings.hops[-1]}",
        door=DoorKind.NONE,
    )


def write_fragment(target: Target, site: Site, port: int) -> str:
    """Sections for ``~/.ssh/config`` that do the same by hand. Pure."""
    settings = SshSettings.parse(site.options)
    aim = target.host or target.path.rpartition("/")[2] or SOCKS
    name = f"{aim}-reach".replace(":", "-")
    local = port or target.port or 1080
    if target.is_socks:
        forward = f"DynamicForward 127.0.0.1:{local}"
    else:
        forward = f"LocalForward 127.0.0.1:{local} {target.path or target}"
    return fragment(name, settings, forward, resolved_of(site))


FAR_SOCKET: Final = "far.sock"


class SshReach:
    """A target made local. ``open`` it once, ``close`` it in the end."""

    def __init__(
        self,
        target: Target,
        site: Site,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.target = target
        self.fault = ""
        """Why the far host could not connect to the target, when it last said so."""
        self._site = site
        self._jitter = jitter
        self._attached = asyncio.Event()
        self._inner = 0
        """Where ssh's own SOCKS listens."""
        self._listeners: list[Callable[[LinkView], None]] = []
        self._run: Run | None = None
        self._local: LocalPort | None = None

    @property
    def port(self) -> int:
        """The target's port, by which its kind may be guessed; 0 for none."""
        return self.target.port

    @property
    def service(self) -> str:
        """What is certain to answer, whatever the port: ``socks``, or ""."""
        return SOCKS if self.target.is_socks else ""

    @property
    def address(self) -> tuple[str, int]:
        """Where local programs connect."""
        assert self._local is not None
        return self._local.address

    @property
    def pid(self) -> int | None:
        """Process id of the ssh of the moment."""
        program = None if self._run is None else self._run.program
        return None if program is None else program.pid

    @property
    def control(self) -> ControlMaster:
        """The running ssh, ours or the one that is shared, as a control interface: more forwards
        on the same connection."""
        settings, directory = SshSettings.parse(self._site.options), self._site.directory
        return ControlMaster(
            shared_control(settings, self._site) or directory / CONTROL_SOCKET,
            directory / CONFIG_FILE,
            last_hop(settings),
            minimal(self._site.environment),
        )

    async def open(self, host: str, port: int) -> None:
        """Listen at ``host`` and ``port`` (0: any) and connect; returns when ssh is connected.

        Raises ``OSError`` for the local address and what ``Keeper.start`` does; close it then, too.
        """
        door: Door = self._site.directory / FAR_SOCKET
        if self.target.is_socks:
            self._inner = _free_port()
            door = ("127.0.0.1", self._inner)
        self._local = await LocalPort.open(host, port, door, self._wait_attached)
        plan = plan_reach(self.target, self._site, self._inner)
        write_files(plan)
        self._run = self._make_run(plan)
        await self._run.start()

    def observe(self, listener: Callable[[LinkView], None]) -> None:
        """Call ``listener`` with every change of the link."""
        self._listeners.append(listener)

    def redial(self, why: str) -> None:
        """Connect anew; connections in progress end."""
        if self._run is not None:
            self._run.redial(why)

    async def close(self) -> None:
        """End ssh, the port and every connection. Idempotent."""
        if self._local is not None:
            await self._local.close()
        run, self._run = self._run, None
        if run is not None:
            await run.close()
        for name in (CONFIG_FILE, FAR_SOCKET, CONTROL_SOCKET):
            with suppress(OSError):
                os.unlink(self._site.directory / name)

    def _make_run(self, plan: Plan) -> Run:
        if not plan.argv:
            forward = Forward(*forward_of(self.target, self._site, self._inner))
            return SharedForward(self.control, forward, plan.url, self._say, jitter=self._jitter)
        return Keeper(
            plan,
            directory=self._site.directory,
            environment={**minimal(self._site.environment), **plan.environment},
            read=self._read,
            say=self._say,
            jitter=self._jitter,
        )

    async def _wait_attached(self) -> None:
        await self._attached.wait()

    def _read(self, line: str) -> Observation | None:
        if match := _CHANNEL.search(line[:500]):
            is_plain = match["what"] == "connect failed"
            why = match["why"].strip() if is_plain else match["what"]
            self.fault = why if why.isprintable() else repr(why)
            return None
        return read_local(line)

    def _say(self, view: LinkView) -> None:
        if view.phase is LinkPhase.ATTACHED:
            self._attached.set()
        else:
            self._attached.clear()
        for listener in self._listeners:
            listener(view)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
