"""The driver for Tailscale: a name in a tailnet, or a funnel for all, leads to the gatehouse.

What may be chosen stands in ``settings``. Visitors' addresses are believed where tailscaled comes
by a Unix socket; who they are (``Tailscale-User-…``) is never passed on, since an origin could not
tell those fields from what visitors of another engine send.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import psutil

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.mesh import MeshView, Step
from underpass.drivers.observations import Observation
from underpass.drivers.others import NO_GATE
from underpass.drivers.plans import (
    Detection,
    DoorAddress,
    DoorKind,
    ForeignTunnel,
    Plan,
    PlannedFile,
    Site,
    Vouching,
)
from underpass.drivers.tailscale import child, mending
from underpass.drivers.tailscale.detection import ask_daemon, find_program
from underpass.drivers.tailscale.local_api import Answered, Denied, LocalApi, Silent
from underpass.drivers.tailscale.serving import Wanted, doors
from underpass.drivers.tailscale.settings import TailscaleSettings
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

ORDER_FILE: Final = "tailscale.json"
NODE_SOCKET: Final = "node.sock"
NODE_STATE: Final = "node"

PASSED_ON: Final = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("TS_DISABLE_PORTMAPPER", "TS_PANIC_IF_HIT_MAIN_CONTROL"),
)
"""Variables that a private tailscaled gets besides: how it comes to its control server."""


class TailscaleDriver:
    """See ``Driver``. Satisfies ``KeepsNames`` and ``MendsMesh``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "tailscale"

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``; a running tailscaled is asked, a private one looked for."""
        try:
            settings = TailscaleSettings.parse(site.options)
        except EngineOptionInvalid:
            return Detection(True, version="?")  # planning will say so
        if settings.is_private:
            return await find_program(site)
        return await ask_daemon(settings.socket, site)

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings = TailscaleSettings.parse(site.options)
        is_unix = _uses_unix(settings, spec, site)
        refuse_unsupported(self.name, spec, Abilities(tcp=True, addresses=is_unix))
        if spec.kind is Kind.TCP and settings.share == "funnel":
            why = "funnel's visitors speak TLS, so they bring HTTPS only"
            raise EngineCannot(self.name, "a tcp origin with share=funnel", why)
        if spec.kind is Kind.TCP and settings.https:
            raise EngineCannot(self.name, "a tcp origin with https=yes", "it is for HTTP")
        detection = site.detection
        if detection is not None and not detection.is_usable:
            raise EngineMissing(self.name, detection.why_not, detection.hint)
        wanted = make_wanted(settings, spec, site)
        host = detection.facts.get("host", "") if detection else ""
        url = wanted.url(host) if host and not settings.is_private else ""
        vouching = Vouching(b"x-forwarded-for") if is_unix else None
        common = Plan(
            self.name,
            _visitors(settings, url or wanted.url(f"{settings.hostname or site.name}.…")),
            url=url,
            secure=wanted.https,
            door=DoorKind.UNIX if is_unix else DoorKind.PORT,
            vouching=None if spec.kind is Kind.TCP else vouching,
            limits=_limits(settings, spec, detection),
        )
        made = _plan_private if settings.is_private else _plan_running
        return made(common, settings, wanted, site)

    def read(self, line: str) -> Observation | None:
        """See ``Driver``: the lines of our own program; what tailscaled logs is not for us."""
        return child.read_line(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        from underpass.drivers.tailscale.engine import make

        self.plan(spec, site)
        return make(self, spec, site, TailscaleSettings.parse(site.options))

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every door that the running tailscaled opens and that does not lead to us; the ones
        with a session end with the program that holds them, the others outlive reboots."""
        try:
            settings = TailscaleSettings.parse(site.options)
            async with LocalApi(settings.socket) as api:
                status, (config, _) = await api.status(), await api.serve_config()
        except (EngineOptionInvalid, Silent, Denied, Answered):
            return ()
        found = []
        for session, port, what, public in doors(config):
            if _is_ours(what, site):
                continue
            kept = "until its program ends" if session else "for good, also after a reboot"
            where = f"{settings.socket} port {port}"
            everybody = ", for everybody" if public else ""
            found.append(
                ForeignTunnel(
                    self.name,
                    where,
                    f"{what}, {kept}",
                    f"{status.me.name}:{port}{everybody}",
                    risks=(NO_GATE if public else "every machine of the tailnet may come in",),
                )
            )
        return tuple(found)

    async def look_at_mesh(
        self, site: Site, peers: Sequence[str], visits: Sequence[str]
    ) -> MeshView:
        """See ``MendsMesh``."""
        return await mending.look(site, peers, visits)

    async def mend(
        self,
        step: Step,
        site: Site,
        *,
        key: Secret | None,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        """See ``MendsMesh``."""
        await mending.mend(step, site, key=key, seconds=seconds, say=say)

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """A node keeps its name; a private one only with its ``state``."""
        settings = TailscaleSettings.parse(site.options)
        return not settings.is_private or bool(settings.state)

    def way(self, spec: TunnelSpec, site: Site) -> str:
        """What the vendor's own service lets through; a login server of one's own has other
        limits."""
        settings = TailscaleSettings.parse(site.options)
        if settings.login_server:
            return ""
        return f"tailscale-{settings.share}"


def make_wanted(settings: TailscaleSettings, spec: TunnelSpec, site: Site) -> Wanted:
    """The door that the tunnel wants in the tailnet."""
    address = site.door
    if _uses_unix(settings, spec, site) and address.unix is None:
        address = DoorAddress(unix=site.directory / "door.sock")
    return Wanted(
        settings.port_for(spec),
        f"unix:{address}" if address.unix is not None else str(address),
        is_tcp=spec.kind is Kind.TCP,
        https=settings.https and spec.kind is not Kind.TCP,
        funnel=settings.share == "funnel",
    )


def _plan_running(plan: Plan, settings: TailscaleSettings, wanted: Wanted, site: Site) -> Plan:
    order = site.directory / ORDER_FILE
    return replace(
        plan,
        argv=(sys.executable, "-I", "-m", child.NAME, str(order)),
        files=(PlannedFile(order, child.write_order(settings.socket, wanted)),),
        calls=(
            f"GET {settings.socket} watch-ipn-bus",
            f"GET {settings.socket} status",
            f"POST {settings.socket} serve-config",
        ),
    )


def _plan_private(plan: Plan, settings: TailscaleSettings, wanted: Wanted, site: Site) -> Plan:
    program = site.detection.program if site.detection else ""
    state = settings.state or str(site.directory / NODE_STATE)
    here = site.directory / NODE_SOCKET
    passed = {name: site.environment[name] for name in PASSED_ON if name in site.environment}
    key = settings.auth_key(site)
    return replace(
        plan,
        argv=(
            program or "tailscaled",
            "--tun=userspace-networking",
            f"--socket={here}",
            f"--statedir={state}",
            "--port=0",
            "--no-logs-no-support",
        ),
        environment={"TS_NO_LOGS_NO_SUPPORT": "true", **passed},
        calls=(f"POST {here} start", f"POST {here} serve-config", f"POST {here} logout"),
        secrets=() if key is None else (key,),
    )


def _uses_unix(settings: TailscaleSettings, spec: TunnelSpec, site: Site) -> bool:
    if settings.door:
        return settings.door == "unix"
    facts: Mapping[str, str] = site.detection.facts if site.detection else {}
    return facts.get("unix", "") in (("all",) if spec.kind is Kind.TCP else ("all", "http"))


def _visitors(settings: TailscaleSettings, where: str) -> str:
    if settings.share == "funnel":
        return f"{where}, for everybody: Tailscale carries the bytes, TLS ends in this tailscaled"
    return f"{where}, for machines of this tailnet alone"


def _limits(
    settings: TailscaleSettings, spec: TunnelSpec, detection: Detection | None
) -> tuple[str, ...]:
    limits = list(detection.limits) if detection else []
    if spec.kind is Kind.TCP:
        limits.append("tailscaled ends a connection as soon as one side has said all")
    if settings.share == "serve" and not settings.witness:
        limits.append(
            "proofs come from the same node: that others get through to it is seen only from a "
            "second one, whose socket is named by witness"
        )
    if settings.share == "funnel":
        limits.append("the name stands in public logs of certificates")
    if settings.is_private and settings.inbound == "policy":
        limits.append(
            "the tailnet's rules may let it reach other services on this machine's loopback "
            "interface"
        )
    return tuple(limits)


def _is_ours(what: str, site: Site) -> bool:
    if f"unix:{site.directory.parent}/" in what:
        return True
    ours = {
        each.laddr.port
        for each in psutil.Process().net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    host, _, port = what.rpartition(":")
    return host.endswith("127.0.0.1") and port.isdigit() and int(port) in ours
