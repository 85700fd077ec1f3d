"""The driver for Cloudflare Tunnel: quick tunnels and named ones, by the real cloudflared.

``settings`` has the table of options. Whatever kind of tunnel it is, the program gets a
configuration of ours with one rule: every visitor goes to the gatehouse, at a loopback port. It
could dial a Unix socket, but then, over HTTP/2, it fails every WebSocket ("no Host in request URL",
seen in 2026.7.2); so it shows a secret in a field of its own beside the visitor's address.

No secret is among its words or variables: they go by files. Visitors of byte streams come with
``cloudflared access tcp``.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.cloudflare.desk import Desk
from underpass.drivers.cloudflare.engine import CloudflareEngine, CloudflareTcpEngine
from underpass.drivers.cloudflare.foreign import read_words
from underpass.drivers.cloudflare.reading import Reading
from underpass.drivers.cloudflare.settings import API, CloudflareSettings, invalid
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.observations import Observation
from underpass.drivers.plans import (
    Detection,
    DoorKind,
    ForeignTunnel,
    Plan,
    PlannedFile,
    Site,
    Vouching,
)
from underpass.drivers.process import minimal, run_to_end
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

ASK_SECONDS: Final = 5.0
OLDEST: Final = (2025, 4, 0)
# --token-file is known since then.

CONFIG_FILE: Final = "cloudflared.json"
TOKEN_FILE: Final = "cloudflared.token"
GRACE: Final = "1s"
"""How long visitors may finish once it is asked to end; we insist after three seconds."""

HOW_TO_GET_IT: Final = "install it: https://github.com/cloudflare/cloudflared/releases"
PASSED_ON: Final = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"),
)
"""Variables by which a machine tells programs of its authorities and its way out."""

TAG_HEADER: Final = b"cf-warp-tag-"
TAG: Final = "underpass"
"""cloudflared adds a field of that name with each of its tags to every request."""

TELLS_USERS: Final = "other users of this machine can learn how to pass the ip gate from it"

_VERSION: Final = re.compile(r"cloudflared version (\d{4})\.(\d{1,2})\.(\d{1,4})")
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_-]{16,4096}")

# A URL must be there for a quick tunnel to be asked for; the rule of the configuration wins.
_UNUSED_URL: Final = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class CloudflareDriver:
    """See ``Driver``. Satisfies ``KeepsNames``, ``HasOwnGates`` and ``ShowsChanges``."""

    listen: Callable[[str], Observation | None] | None = None
    """Reads for one engine, which remembers the lines before."""
    door_secret: Secret | None = None
    """What cloudflared shows at the gatehouse's door; an engine has its own."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "cloudflare"

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``."""
        program = shutil.which("cloudflared", path=site.environment.get("PATH"))
        if program is None:
            return Detection(False, why_not="there is no program cloudflared", hint=HOW_TO_GET_IT)
        try:
            _, lines = await run_to_end(
                (program, "--version"),
                environment=minimal(site.environment),
                directory=site.directory,
                seconds=ASK_SECONDS,
            )
        except EngineMissing as error:
            return Detection(False, program, why_not=error.why, hint=HOW_TO_GET_IT)
        return judge_version(program, lines, signed_in=_is_signed_in(site))

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings = CloudflareSettings.parse(site.options)
        is_tcp = spec.kind is Kind.TCP
        refuse_unsupported(self.name, spec, Abilities(tcp=True, addresses=True))
        if is_tcp and settings.access:
            why = "proofs cannot pass it; put it on by hand"
            raise EngineCannot(self.name, "Access in front of a tcp origin", why)
        detection = site.detection
        if detection is not None and not detection.is_usable:
            raise EngineMissing(self.name, detection.why_not, detection.hint)
        token = _token(settings, site)
        files = [
            PlannedFile(site.directory / CONFIG_FILE, self._configuration(settings, spec, site))
        ]
        if token is not None:
            files.append(PlannedFile(site.directory / TOKEN_FILE, token.reveal().encode()))
        return Plan(
            self.name,
            _visitors(settings, is_tcp=is_tcp),
            argv=words(settings, site),
            files=tuple(files),
            environment={
                key: site.environment[key] for key in PASSED_ON if key in site.environment
            },
            calls=_calls(settings),
            url=_url(settings, is_tcp=is_tcp),
            secure=True,
            door=DoorKind.PORT,
            # Its edge overwrites what a visitor says there.
            vouching=None
            if is_tcp
            else Vouching(
                b"cf-connecting-ip",
                secret_header=TAG_HEADER + TAG.encode(),
                secret=self.door_secret,
            ),
            secrets=tuple(each for each in (token, self.door_secret) if each is not None),
            limits=(
                *_limits(settings, is_tcp=is_tcp),
                # Its metrics port, which cannot be shut, tells its settings (/diag/configuration).
                *([TELLS_USERS] if spec.cidrs else []),
                *(detection.limits if detection else ()),
            ),
        )

    def _configuration(self, settings: CloudflareSettings, spec: TunnelSpec, site: Site) -> bytes:
        """cloudflared's own configuration: YAML, of which JSON is a part that cannot be misread."""
        told: dict[str, object] = {"ingress": rules(settings, door_of(spec, site))}
        if settings.credentials_file:
            told |= {"tunnel": settings.tunnel, "credentials-file": settings.credentials_file}
        if self.door_secret is not None:
            told["tag"] = [f"{TAG}={self.door_secret.reveal()}"]
        return json.dumps(told, indent=1).encode()

    def read(self, line: str) -> Observation | None:
        """See ``Driver``: what the line says to somebody who has read no other."""
        return Reading().read(line) if self.listen is None else self.listen(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        self.plan(spec, site)
        kind = CloudflareTcpEngine if spec.kind is Kind.TCP else CloudflareEngine
        return kind(self, spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every cloudflared of this machine that carries a tunnel and is not a child of ours."""
        ours = {each.pid for each in psutil.Process().children(recursive=True)}
        found = []
        for process in psutil.process_iter(["pid", "name", "cmdline", "username"]):
            facts = process.info
            if facts["name"] != "cloudflared" or facts["pid"] in ours:
                continue
            told = read_words((facts["cmdline"] or [])[1:])
            if told is not None:
                where, who = f"pid {facts['pid']}", facts["username"] or ""
                found.append(ForeignTunnel(self.name, where, *told, who))
        return tuple(found)

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """A named tunnel's name is its owner's."""
        return not CloudflareSettings.parse(site.options).is_quick

    async def changes(self, spec: TunnelSpec, site: Site) -> tuple[str, ...]:
        """See ``ShowsChanges``."""
        settings = CloudflareSettings.parse(site.options)
        self.plan(spec, site)
        if not settings.uses_api:
            return ()
        desk = await asyncio.to_thread(Desk.open, settings, site)
        try:
            found = await desk.look(rules(settings, door_of(spec, site)))
        finally:
            await desk.close()
        return tuple(str(change) for change in found)

    def own_gates(self) -> frozenset[str]:
        """Access, by the option of that name."""
        return frozenset({"access"})


def words(settings: CloudflareSettings, site: Site) -> tuple[str, ...]:
    """The program and its words. Pure."""
    program = site.detection.program if site.detection else ""
    shared = [
        *(program or "cloudflared", "tunnel", "--config", str(site.directory / CONFIG_FILE)),
        *("--no-autoupdate", "--no-prechecks", "--output", "json", "--loglevel", "info"),
        # A port of its own: a fixed one that is taken would end it.
        *("--metrics", "127.0.0.1:0", "--grace-period", GRACE),
        # Said out loud, since a quick tunnel would not fall back from QUIC by itself.
        *("--protocol", settings.protocol),
    ]
    if settings.region:
        shared += ["--region", settings.region]
    for edge in settings.edges:
        shared += ["--edge", edge]
    if settings.edge_ca:
        shared += ["--cacert", settings.edge_ca]
    if settings.is_quick:
        if settings.quick_service:
            shared += ["--quick-service", settings.quick_service]
        return (*shared, "--url", _UNUSED_URL)
    token = settings.token_file or (
        str(site.directory / TOKEN_FILE) if settings.token_variable else ""
    )
    return (*shared, "run", *(("--token-file", token) if token else ()))


def door_of(spec: TunnelSpec, site: Site) -> str:
    """The gatehouse as a service of cloudflared's. Pure."""
    return f"{'tcp' if spec.kind is Kind.TCP else 'http'}://127.0.0.1:{site.door.port}"


def rules(settings: CloudflareSettings, door: str) -> list[dict[str, str]]:
    """Where cloudflared sends visitors: to the gatehouse, or nowhere. Pure."""
    if settings.is_quick:
        return [{"service": door}]
    # Whoever comes by another name finds nothing; 503, since clients take 404 as an answer.
    return [{"hostname": settings.hostname, "service": door}, {"service": "http_status:503"}]


def judge_version(program: str, lines: list[str], *, signed_in: bool | None) -> Detection:
    """What the output of ``--version`` says of ``program``. Pure."""
    match = next((found for line in lines[:5] if (found := _VERSION.match(line))), None)
    if match is None:
        why = f"{program} does not say that it is cloudflared"
        return Detection(True, program, why_not=why, hint=HOW_TO_GET_IT)
    version = match[0].removeprefix("cloudflared version ")
    if tuple(map(int, match.groups())) < OLDEST:
        why = f"cloudflared {version} is older than {'.'.join(map(str, OLDEST))}"
        return Detection(True, program, version, why_not=why, hint=HOW_TO_GET_IT)
    return Detection(True, program, version, signed_in)


def _token(settings: CloudflareSettings, site: Site) -> Secret | None:
    if not settings.token_variable:
        return None
    text = site.environment.get(settings.token_variable, "").strip()
    if not _TOKEN.fullmatch(text):
        raise invalid("token-env", "the variable is not set, or holds no token")
    return Secret(text)


def _url(settings: CloudflareSettings, *, is_tcp: bool) -> str:
    if settings.is_quick:
        return ""
    if is_tcp:
        return f"tcp://{settings.hostname}:{settings.port}"
    return f"https://{settings.authority}"


def _visitors(settings: CloudflareSettings, *, is_tcp: bool) -> str:
    host = "a name below trycloudflare.com" if settings.is_quick else settings.authority
    if is_tcp:
        return f"{host}, met by: cloudflared access tcp --hostname NAME --url 127.0.0.1:PORT"
    return f"{host}, TLS to Cloudflare" + (", behind Access" if settings.access else "")


def _limits(settings: CloudflareSettings, *, is_tcp: bool) -> tuple[str, ...]:
    limits = ["Cloudflare ends visitors' TLS and reads what passes, tokens too"]
    if is_tcp:
        limits += ["a byte stream cannot be half closed on its way through a WebSocket"]
    else:
        limits += [
            "an answer must begin within 100 s (error 524)",
            "a request's body may have 100 MB on its free and pro plans (error 413)",
        ]
    if settings.is_quick:
        limits += [
            "a quick tunnel takes 200 requests at once, and may hold event streams back",
            "its name changes when cloudflared is started anew; it is told when it does",
        ]
    if settings.access:
        limits += ["clients that follow no login need the service token in two headers, too"]
    return tuple(limits)


def _calls(settings: CloudflareSettings) -> tuple[str, ...]:
    if not settings.uses_api:
        return ()
    base = settings.api or API
    calls = [
        f"POST {base}/zones/ZONE/dns_records",
        f"PUT {base}/accounts/ACCOUNT/cfd_tunnel/TUNNEL",
    ]
    calls[1] += "/configurations"
    if settings.access:
        apps = f"{base}/accounts/ACCOUNT/access"
        calls += [
            f"POST {apps}/service_tokens",
            f"POST {apps}/apps",
            f"POST {apps}/apps/APP/policies",
        ]
    return tuple(calls)


def _is_signed_in(site: Site) -> bool | None:
    try:
        settings = CloudflareSettings.parse(site.options)
    except EngineOptionInvalid:
        return None  # planning will say so
    if settings.is_quick:
        return None
    if settings.token_variable:
        return bool(site.environment.get(settings.token_variable))
    return Path(settings.token_file or settings.credentials_file).is_file()
