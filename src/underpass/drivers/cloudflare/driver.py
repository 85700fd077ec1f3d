"""The driver for Cloudflare Tunnel: quick tunnels and named ones, by the real cloudflared.

``settings`` has the table of options. Whatever kind of tunnel it is, the program gets a
configuration of ours with one rule: every visitor goes to the gatehouse, at a loopback port. It
could dial a Unix socket, but then, over HTTP/2, it fails every WebSocket ("no Host in request URL",
seen in 2026.7.3); so it shows a secret in a field of its own beside the visitor's address.

No secret is among its words or variables: they go by files. Visitors of byte streams come with
``cloudflared access tcp``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.asked import ask_version
from underpass.drivers.base import Engine
from underpass.drivers.cloudflare.desk import Desk
from underpass.drivers.cloudflare.engine import CloudflareEngine, CloudflareTcpEngine
from underpass.drivers.cloudflare.foreign import read_words
from underpass.drivers.cloudflare.planning import (
    CONFIG_FILE,
    TOKEN_FILE,
    calls_of,
    door_of,
    limits_of,
    rules,
    url_of,
    visitors_of,
    words,
)
from underpass.drivers.cloudflare.reading import Reading
from underpass.drivers.cloudflare.settings import CloudflareSettings, invalid
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.observations import Observation
from underpass.drivers.orphans import programs
from underpass.drivers.others import NO_GATE, running
from underpass.drivers.plans import (
    Detection,
    DoorKind,
    ForeignTunnel,
    Plan,
    PlannedFile,
    Site,
    Vouching,
)
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

OLDEST: Final = (2025, 4, 0)
# --token-file is known since then.

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
        asked = await ask_version("cloudflared", "--version", site, hint=HOW_TO_GET_IT)
        if isinstance(asked, Detection):
            return asked
        return judge_version(asked.program, asked.lines, signed_in=_is_signed_in(site))

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
            visitors_of(settings, is_tcp=is_tcp),
            argv=words(settings, site),
            files=tuple(files),
            environment={
                key: site.environment[key] for key in PASSED_ON if key in site.environment
            },
            calls=calls_of(settings),
            url=url_of(settings, is_tcp=is_tcp),
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
                *limits_of(settings, is_tcp=is_tcp),
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
        """Every cloudflared of this machine that carries a tunnel and is not ours."""
        ours = programs(site.directory.parent)
        return tuple(
            program.tunnel(self.name, *told, (NO_GATE,))
            for program in running("cloudflared")
            if program.pid not in ours and (told := read_words(list(program.words[1:])))
        )

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """A named tunnel's name is its owner's."""
        return not CloudflareSettings.parse(site.options).is_quick

    def way(self, spec: TunnelSpec, site: Site) -> str:
        """Quick tunnels have quotas of their own; another edge has none that are known."""
        settings = CloudflareSettings.parse(site.options)
        if settings.edges or settings.quick_service:
            return ""
        return "cloudflare-quick" if settings.is_quick else "cloudflare-named"

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
