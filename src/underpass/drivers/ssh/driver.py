"""The driver for plain ssh: a port of a far host leads to the gatehouse (``ssh -R``)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineMissing, EngineOptionInvalid
from underpass.drivers.observations import Observation
from underpass.drivers.orphans import programs
from underpass.drivers.others import running
from underpass.drivers.plans import (
    Detection,
    DoorKind,
    ForeignTunnel,
    Plan,
    PlannedFile,
    Site,
)
from underpass.drivers.process import minimal, run_to_end
from underpass.drivers.ssh.command import (
    CONFIG_FILE,
    CONTROL_FACT,
    CONTROL_SOCKET,
    resolved_of,
    shared_control,
    variables,
)
from underpass.drivers.ssh.configuration import (
    last_hop,
    read_control,
    read_resolved,
    write_configuration,
)
from underpass.drivers.ssh.detection import detect_openssh
from underpass.drivers.ssh.engine import FarLoopbackEngine, SshEngine
from underpass.drivers.ssh.others import forwards_of
from underpass.drivers.ssh.reach import SshReach, parse_target, write_fragment
from underpass.drivers.ssh.reading import read_line
from underpass.drivers.ssh.route import Hop
from underpass.drivers.ssh.settings import SshSettings
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

ASK_SECONDS: Final = 5.0


class SshDriver:
    """See ``Driver``. Satisfies ``KeepsNames``, ``MakesReach`` and ``WritesFragments``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "ssh"

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``; asks ``ssh -G`` what the user's own configuration means by the hosts."""
        found = await detect_openssh(site)
        if not found.is_usable:
            return found
        try:
            settings = SshSettings.parse(site.options)
        except EngineOptionInvalid:
            return found  # planning will say so
        facts = {}
        if settings.config != "none":
            facts = await self._resolve(found.program, settings, site)
        if settings.control == "user":
            facts[CONTROL_FACT] = read_control(
                await self._ask(found.program, settings, settings.hops[-1], site)
            )
        return replace(found, facts=facts)

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings = SshSettings.parse(site.options)
        refuse_unsupported(self.name, spec, Abilities(tcp=True))
        if settings.autossh and shutil.which("autossh", path=site.environment.get("PATH")) is None:
            raise EngineMissing("autossh", "there is no program autossh", "leave ssh.autossh out")
        control = shared_control(settings, site)
        scheme = "tcp" if spec.kind is Kind.TCP else "http"
        bind = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
        # The address is always said: without it sshd takes ::1 for enough.
        listens = settings.socket or f"{bind}:{settings.port}"
        door = site.door.unix or site.directory / "door.sock"
        far = settings.hops[-1]
        if settings.url:
            where = f"{settings.socket} at {far}" if settings.socket else f"{far} port"
            url, visitors = settings.url, f"{settings.url}, which leads to {where}"
        elif settings.is_loopback:
            url = f"{scheme}://{bind}:{settings.port}"
            visitors = f"a port of {far}, for programs on that host only"
        else:
            host = f"[{far.host}]" if ":" in far.host else _hostname(site, settings)
            url = f"{scheme}://{host}:{settings.port}"
            visitors = f"a port of {far}, where its sshd allows it (GatewayPorts clientspecified)"
        return Plan(
            self.name,
            visitors,
            argv=() if control is not None else self._words(settings, site, f"{listens}:{door}"),
            files=(
                PlannedFile(
                    site.directory / CONFIG_FILE,
                    write_configuration(settings, resolved_of(site)).encode(),
                ),
            ),
            environment=variables(site.environment, autossh=settings.autossh),
            url=url,
            secure=url.startswith("https:"),
            door=DoorKind.UNIX,
            limits=_limits(settings),
        )

    def read(self, line: str) -> Observation | None:
        """See ``Driver``."""
        return read_line(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        settings = SshSettings.parse(site.options)
        self.plan(spec, site)
        kind = FarLoopbackEngine if settings.is_loopback and not settings.url else SshEngine
        return kind(self, spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every ssh and autossh of this machine with a forward, ours excepted."""
        ours = programs(site.directory.parent)
        return tuple(
            tunnel
            for program in running("ssh", "autossh")
            if program.pid not in ours
            for tunnel in forwards_of(program)
        )

    def make_reach(self, target: str, site: Site) -> SshReach:
        """See ``MakesReach``."""
        SshSettings.parse(site.options)
        return SshReach(parse_target(target), site)

    async def write_fragment(self, target: str, site: Site, port: int) -> str:
        """See ``WritesFragments``: sections for ``~/.ssh/config``."""
        settings, aim = SshSettings.parse(site.options), parse_target(target)
        found = await detect_openssh(site)
        if found.is_usable and settings.config != "none":
            # What ssh takes by itself for a host of that name need not be written down.
            usual = await self._resolve(found.program, replace(settings, config="none"), site)
            told = await self._resolve(found.program, settings, site)
            own = _said(told) - _said(usual)
            kept = {key: value for key, value in told.items() if _said({key: value}) <= own}
            found = replace(found, facts=kept)
        return write_fragment(aim, replace(site, detection=found), port)

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """The address stays when the port was chosen."""
        settings = SshSettings.parse(site.options)
        return settings.port != 0 or bool(settings.url)

    def _words(self, settings: SshSettings, site: Site, forward: str) -> tuple[str, ...]:
        return (
            *(("autossh", "-M", "0") if settings.autossh else ("ssh",)),
            *("-N", "-T", "-F", str(site.directory / CONFIG_FILE)),
            *("-o", "LogLevel=DEBUG1"),
            # Not -M, which autossh takes for its own.
            *("-o", "ControlMaster=yes", "-S", str(site.directory / CONTROL_SOCKET)),
            *("-R", forward),
            last_hop(settings),
        )

    async def _resolve(self, program: str, settings: SshSettings, site: Site) -> dict[str, str]:
        facts = {}
        for at, hop in enumerate(settings.hops):
            resolved = read_resolved(await self._ask(program, settings, hop, site))
            for number, (key, value) in enumerate(resolved):
                if value.isprintable():
                    facts[f"{at}.{number}.{key}"] = value
        return facts

    async def _ask(self, program: str, settings: SshSettings, hop: Hop, site: Site) -> list[str]:
        """What ``ssh -G`` says of a host; [] where it says nothing."""
        words = [program, "-G"]
        words += ["-F", settings.config] if settings.config != "user" else []
        words += ["-l", hop.user] if hop.user else []
        words += ["-p", str(hop.port)] if hop.port else []
        code, lines = await run_to_end(
            (*words, "--", hop.host),
            environment={**minimal(site.environment), **variables(site.environment)},
            directory=site.directory,
            seconds=ASK_SECONDS,
        )
        return [] if code else lines


def _said(facts: Mapping[str, str]) -> set[tuple[str, str, str]]:
    """The facts as (host, keyword, value), wherever they stand."""
    return {(key.split(".")[0], key.split(".")[2], value) for key, value in facts.items()}


def _limits(settings: SshSettings) -> tuple[str, ...]:
    limits = []
    if not settings.port and not settings.socket:
        limits.append("the port may change when ssh is started anew")
    if settings.control:
        limits.append("it ends with the ssh that it shares, and comes back with it")
    return tuple(limits)


def _hostname(site: Site, settings: SshSettings) -> str:
    told = dict(resolved_of(site).get(len(settings.hops) - 1, ()))
    return told.get("hostname", settings.hops[-1].host)
