"""The driver for ngrok: its agent, or its Python SDK, leads visitors to the gatehouse.

Options: see ``settings``. Agents 3.16 and later, and the SDK, are asked by a traffic policy to tell
visitors' addresses, so the ``ip`` gate works with them. Agents 2.x are refused by ngrok's own
service; they work with a private edge (``ngrok.server``) and tell nobody's address.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import Final

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine, Quota
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.ngrok.configuration import NAME, Told, write_sdk, write_v2, write_v3
from underpass.drivers.ngrok.credentials import find_token
from underpass.drivers.ngrok.detection import (
    GET_TOKEN,
    SDK,
    find_agent,
    find_sdk,
    with_account,
)
from underpass.drivers.ngrok.engine import AgentEngine, NgrokEngine
from underpass.drivers.ngrok.local_api import LocalApi
from underpass.drivers.ngrok.policy import forge_vouch, vouching_by, write_policy
from underpass.drivers.ngrok.reading import read_line
from underpass.drivers.ngrok.settings import ENGINE, NgrokSettings, invalid
from underpass.drivers.observations import Observation
from underpass.drivers.orphans import programs
from underpass.drivers.others import NO_GATE, Running, running
from underpass.drivers.plans import Detection, DoorKind, ForeignTunnel, Plan, PlannedFile, Site
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

CONFIG_FILE: Final = "ngrok.yml"

MONTH: Final = 30 * 86_400.0
FREE_REQUESTS: Final = Quota(20_000, MONTH)
FREE_CONNECTIONS: Final = Quota(2_000, MONTH)
# As of 2026-08-07, https://ngrok.com/docs/pricing-limits/free-plan-limits; another page of the
# vendor says 5 000 connections.

_UPSTREAM: Final = re.compile(r"\d{1,5}|(?:https?://|tcp://)?[\w.-]{1,253}:\d{1,5}")


class NgrokDriver:
    """See ``Driver``. Satisfies ``KeepsNames`` and ``HasOwnGates``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return ENGINE

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``."""
        try:
            settings = NgrokSettings.parse(site.options)
        except EngineOptionInvalid:
            settings = NgrokSettings()  # planning will say so
        found = None if settings.client == "sdk" else await find_agent(site, settings)
        if found is None or not (found.is_usable or settings.client == "program"):
            sdk = find_sdk()
            found = sdk if sdk.is_usable or found is None else found
        return with_account(found, settings, site) if found.is_usable else found

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings, detection = NgrokSettings.parse(site.options), site.detection
        is_sdk = settings.client == "sdk" or (detection is not None and detection.program == SDK)
        is_old = not is_sdk and detection is not None and detection.version.startswith("2.")
        is_tcp, passes = spec.kind is Kind.TCP, spec.tls == "passthrough"
        can = Abilities(tcp=True, addresses=not is_old and not passes, passthrough=True)
        refuse_unsupported(self.name, spec, can)
        if settings.wanted is not None and bool(settings.wanted.port) != is_tcp:
            raise invalid("url", "tcp:// goes with a tcp origin, and https:// with any other")
        if settings.pooling and (is_sdk or is_old):
            why = "only agents 3.16 and later, as a program, can share an address"
            raise EngineCannot(self.name, "ngrok.pooling=yes", why)
        if detection is not None and not detection.is_usable:
            raise EngineMissing(self.name, detection.why_not, detection.hint)
        token = _token_of(settings, site)
        if token is None and detection is not None and not detection.signed_in:
            raise EngineMissing(self.name, "there is no authtoken", GET_TOKEN)
        tells = can.addresses and not is_tcp
        vouch = forge_vouch(token, str(site.directory)) if token is not None and tells else None
        policy = {} if is_old else write_policy(spec, vouch=vouch, edge_gates=settings.edge_gates)
        write = write_sdk if is_sdk else write_v2 if is_old else write_v3
        content = write(Told(settings, spec.kind, site.door, token, policy, site.name, passes))
        file = PlannedFile(site.directory / CONFIG_FILE, content)
        wanted = settings.wanted
        return Plan(
            self.name,
            f"{'an address' if wanted is None else wanted.url} of ngrok's, over "
            + ("plain TCP" if is_tcp else "your own TLS" if passes else "TLS that ngrok ends"),
            argv=_words(site, str(file.path), is_sdk=is_sdk, is_old=is_old),
            files=(file,),
            url="" if wanted is None else wanted.url,
            secure=not is_tcp,
            passthrough=passes,
            door=DoorKind.UNIX if is_sdk else DoorKind.PORT,
            vouching=None if vouch is None else vouching_by(vouch),
            secrets=tuple(each for each in (token, vouch) if each is not None),
            limits=(
                *_limits(settings, is_tcp=is_tcp, passes=passes),
                *(detection.limits if detection else ()),
            ),
        )

    def read(self, line: str) -> Observation | None:
        """See ``Driver``."""
        return read_line(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``. Raises besides what reading the authtoken's file does."""
        settings = NgrokSettings.parse(site.options)
        token = find_token(settings, site.environment)
        if token is not None:
            known = {**site.environment, settings.token_variable: token.reveal()}
            site = replace(site, environment=known)
        plan = self.plan(spec, site)
        quota = _quota(settings, spec)
        if plan.door is DoorKind.UNIX:
            return NgrokEngine(self, spec, site, quota)
        return AgentEngine(self, spec, site, quota)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every ngrok agent of this machine that is not ours, by its own API where it lets us
        ask."""
        ours = programs(site.directory.parent)
        found: list[ForeignTunnel] = []
        for program in running("ngrok"):
            carries = {"http", "tcp", "tls", "start"}.intersection(program.words[1:2])
            if carries and program.pid not in ours:
                found += await _look_at(program)
        return tuple(found)

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """The address stays when it was chosen."""
        return NgrokSettings.parse(site.options).wanted is not None

    def way(self, spec: TunnelSpec, site: Site) -> str:
        """A paid plan has other quotas, and a server of one's own has none."""
        return "ngrok-free" if _quota(NgrokSettings.parse(site.options), spec) else ""

    def own_gates(self) -> frozenset[str]:
        """Kinds of gates that ngrok's edge can keep besides ours (``ngrok.edge-gates``). Only one
        without a secret: what the edge refuses, our own proofs of refusal never see."""
        return frozenset({"ip"})


def _token_of(settings: NgrokSettings, site: Site) -> Secret | None:
    told = site.environment.get(settings.token_variable, "").strip()
    return Secret(told) if told else None


def _words(site: Site, path: str, *, is_sdk: bool, is_old: bool) -> tuple[str, ...]:
    if is_sdk:
        # -P and not -I: the extra may be among the user's own packages.
        return (sys.executable, "-P", "-m", SDK, path)
    program = (site.detection.program if site.detection else "") or "ngrok"
    # Version 2 has flags of one dash, and wants them before its other words.
    return (program, "start", f"{'-' if is_old else '--'}config={path}", NAME)


def _limits(settings: NgrokSettings, *, is_tcp: bool, passes: bool) -> list[str]:
    limits = []
    if settings.wanted is None:
        limits.append("the address may change when ngrok is started anew")
    if is_tcp:
        limits.append("a TCP address wants a payment card on file, on free plans too")
    elif passes:
        limits.append("TLS endpoints are part of ngrok's paid plans only")
    elif settings.account == "free" and not settings.server:
        limits.append("on a free plan browsers get a warning page of ngrok's first")
    if settings.account == "free" and not settings.server:
        limits.append("a free plan is proved less often when idle, to spare its quota")
    return limits


def _quota(settings: NgrokSettings, spec: TunnelSpec) -> Quota | None:
    if settings.account != "free" or settings.server:
        return None
    return FREE_CONNECTIONS if spec.kind is Kind.TCP else FREE_REQUESTS


async def _look_at(program: Running) -> list[ForeignTunnel]:
    api = LocalApi.of_process(program.pid)
    try:
        view = None if api is None else await api.look()
    except OSError:
        view = None
    if view is not None and view.carried:
        return [program.tunnel(ENGINE, it.exposes, it.url, (NO_GATE,)) for it in view.carried]
    # Any word may be a secret, but not one that has the form of an address.
    told = next((word for word in program.words[2:] if _UPSTREAM.fullmatch(word)), "")
    return [program.tunnel(ENGINE, told, "", (NO_GATE,))]
