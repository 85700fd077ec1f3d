"""The driver for WireGuard: the gatehouse at an address that only the network's hosts can reach.

| option | what it says | default |
|---|---|---|
| `via` | `HOST@FILE`: which host this is, and the topology (see docs/wireguard.md) | needed |
| `keys` | directory with the keys | FILE without its ending, `.keys` |
| `port` | TCP port at the tunnel address where visitors come; 0: any free one | 0 |
| `listen` | UDP port of WireGuard itself; 0: any free one | the topology's |
| `mode` | `kernel`, `wireguard-go`, `rootless`; `auto`: the first of them that works here | auto |
| `witness` | the neighbour that dials back for proofs | the first with an endpoint |
| `interface` | the interface's name | `upw-` and the network's |
| `netns` | network namespace for the interface and its rules | this machine's own |
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.observations import Carrying, Observation
from underpass.drivers.plans import Detection, DoorKind, ForeignTunnel, Plan, Site
from underpass.drivers.process import minimal, run_to_end
from underpass.drivers.wireguard.engine import InterfaceEngine, url_at
from underpass.drivers.wireguard.errors import TopologyInvalid
from underpass.drivers.wireguard.place import NAMESPACES, Place, may_change_networks
from underpass.drivers.wireguard.reading import read_line
from underpass.drivers.wireguard.rootless_engine import RootlessEngine, rootless_words
from underpass.drivers.wireguard.settings import WireGuardSettings
from underpass.drivers.wireguard.topology import MAX_BYTES, Topology, parse_topology
from underpass.model.spec import TunnelSpec

ASK_SECONDS: Final = 5.0
STACK: Final = "mitmproxy_wireguard"
ANSWERS_ONLY: Final = "rootless it answers handshakes and begins none: its host needs an endpoint"
NO_HALF_CLOSE: Final = "rootless a connection ends as soon as its visitor has said all"
UNKEPT: Final = "the userspace stack mitmproxy-wireguard is no longer kept by its authors"
NEEDS_RIGHTS: Final = "run as root (CAP_NET_ADMIN), or pip install 'underpass[mesh]' for rootless"

_VERSION: Final = re.compile(r"wireguard-go v?(\d[0-9.]{0,20})")
_KERNEL: Final = Path("/sys/module/wireguard")


class WireGuardDriver:
    """See ``Driver``. Satisfies ``KeepsNames``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "wireguard"

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``; reads the topology, and looks which of the modes this machine can do."""
        try:
            settings = WireGuardSettings.parse(site.options)
        except EngineOptionInvalid:
            settings = None  # planning will say so
        mode = "auto" if settings is None else settings.mode
        facts = {} if settings is None else _facts(settings)
        place = Place(site.directory, site.environment)
        program = shutil.which("wireguard-go", path=site.environment.get("PATH"))
        if mode != "rootless" and may_change_networks():
            if not place.has("nft") or not place.has("ip"):
                why = "the interface cannot be guarded: nft and ip are needed"
                hint = "install them: apt-get install nftables iproute2"
                return Detection(True, why_not=why, hint=hint, facts=facts)
            # Without wg the kernel's own device cannot be given its keys.
            if mode == "kernel" or (mode == "auto" and _KERNEL.exists() and place.has("wg")):
                if not place.has("wg"):
                    hint = "install it: apt-get install wireguard-tools"
                    return Detection(True, why_not="there is no program wg", hint=hint)
                return Detection(True, "kernel", facts={**facts, "mode": "kernel"})
            if program is not None:
                return await self._userspace(program, site, facts)
            if mode == "wireguard-go" or importlib.util.find_spec(STACK) is None:
                hint = "install it: apt-get install wireguard-go"
                return Detection(False, why_not="there is no program wireguard-go", hint=hint)
        elif mode in ("kernel", "wireguard-go"):
            why = "this process may not make interfaces and rules"
            return Detection(True, why_not=why, hint=NEEDS_RIGHTS, facts=facts)
        if importlib.util.find_spec(STACK) is None:
            why = "this process may not make interfaces, and there is no userspace stack"
            return Detection(False, why_not=why, hint=NEEDS_RIGHTS, facts=facts)
        limits = (ANSWERS_ONLY, NO_HALF_CLOSE, UNKEPT)
        return Detection(True, STACK, limits=limits, facts={**facts, "mode": "rootless"})

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings = WireGuardSettings.parse(site.options)
        detection = site.detection
        if detection is not None and not detection.is_usable:
            raise EngineMissing(self.name, detection.why_not, detection.hint)
        facts = {} if detection is None else detection.facts
        mode = facts.get("mode", "wireguard-go" if settings.mode == "auto" else settings.mode)
        is_rootless = mode == "rootless"
        # Cryptokey routing vouches for the source address; the userspace stack does not check it.
        can = Abilities(tcp=True, addresses=not is_rootless, tcp_addresses=not is_rootless)
        refuse_unsupported(self.name, spec, can)
        topology = _topology(settings, facts)
        url, visitors = "", "an address inside the network"
        if topology is not None:
            url = url_at(topology, settings.host, settings.port, spec.kind)
            visitors = f"{url}, for the hosts of the network {topology.name}"
            if settings.witness and settings.witness not in topology.hosts:
                topology.host(settings.witness)
        if is_rootless:
            if topology is not None and topology.preshared:
                why = "the userspace stack knows none: set preshared = false"
                raise EngineCannot(self.name, "preshared keys without rights", why)
            if topology is not None and topology.subnet.version == 6:
                why = "the userspace stack carries IPv4 only"
                raise EngineCannot(self.name, "an IPv6 network without rights", why)
            return Plan(
                self.name,
                visitors,
                argv=rootless_words(settings, site.directory),
                url=url,
                door=DoorKind.UNIX,
                limits=(ANSWERS_ONLY, NO_HALF_CLOSE, UNKEPT),
            )
        interface = interface_of(settings, topology)
        place = Place(site.directory, site.environment, settings.netns)
        program = (detection.program if detection else "") or "wireguard-go"
        return Plan(
            self.name,
            visitors,
            argv=() if mode == "kernel" else place.words(program, "-f", interface),
            environment={"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "verbose"},
            url=url,
            door=DoorKind.NONE,
        )

    def read(self, line: str) -> Observation | None:
        """See ``Driver``."""
        word, _, port = line.partition(" ")
        if word == "underpass-rootless-carrying":
            return Carrying(port=int(port)) if port.isdigit() and len(port) < 6 else None
        return read_line(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        settings = WireGuardSettings.parse(site.options)
        plan = self.plan(spec, site)
        if plan.door is DoorKind.UNIX:
            return RootlessEngine(self, spec, site)
        facts = {} if site.detection is None else site.detection.facts
        topology = _topology(settings, facts)
        return InterfaceEngine(self, spec, site, settings, interface_of(settings, topology))

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """The other WireGuard interfaces of this machine. Never asks for keys."""
        if shutil.which("wg", path=site.environment.get("PATH")) is None:
            return ()
        code, lines = await self._ask(site, "wg", "show", "interfaces")
        found = []
        for interface in (lines[0].split() if code == 0 and lines else [])[:64]:
            if interface.startswith("upw-"):
                continue
            _, port = await self._ask(site, "wg", "show", interface, "listen-port")
            _, peers = await self._ask(site, "wg", "show", interface, "peers")
            public = f"UDP port {port[0].strip()[:5]}" if port else ""
            count = f"the interface to {len(peers)} peers"
            where = f"interface {interface[:15]}"
            risks = ("its peers reach whatever listens at its address",)
            found.append(ForeignTunnel(self.name, where, count, public, risks=risks))
        return tuple(found)

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """The address stays when the port was chosen."""
        return WireGuardSettings.parse(site.options).port != 0

    async def _userspace(self, program: str, site: Site, facts: dict[str, str]) -> Detection:
        _, lines = await self._ask(site, program, "--version")
        match = next((found for line in lines[:10] if (found := _VERSION.search(line))), None)
        if match is None:
            why = f"{program} does not say that it is wireguard-go"
            return Detection(True, program, why_not=why, hint="apt-get install wireguard-go")
        return Detection(True, program, match[1], facts={**facts, "mode": "wireguard-go"})

    async def _ask(self, site: Site, *words: str) -> tuple[int, list[str]]:
        return await run_to_end(
            words,
            environment=minimal(site.environment),
            directory=site.directory,
            seconds=ASK_SECONDS,
        )


def interface_of(settings: WireGuardSettings, topology: Topology | None) -> str:
    """The interface's name. Pure."""
    return settings.interface or ("upw" if topology is None else f"upw-{topology.name}")


def _facts(settings: WireGuardSettings) -> dict[str, str]:
    """What planning needs to know of the disk; never a key."""
    facts = {}
    try:
        data = settings.topology.read_bytes()[: MAX_BYTES + 1]
        facts["topology"] = data.decode("utf-8", "replace")
    except OSError as error:
        facts["unreadable"] = (error.strerror or "it cannot be read").lower()
    if settings.netns and not (NAMESPACES / settings.netns).exists():
        facts["no-netns"] = settings.netns
    return facts


def _topology(settings: WireGuardSettings, facts: Mapping[str, str]) -> Topology | None:
    if why := facts.get("unreadable"):
        raise TopologyInvalid(str(settings.topology), why)
    if missing := facts.get("no-netns"):
        raise EngineOptionInvalid("wireguard", "netns", f"there is no namespace {missing}")
    text = facts.get("topology")
    if text is None:
        return None
    topology = parse_topology(text, str(settings.topology))
    topology.host(settings.host)
    return topology
