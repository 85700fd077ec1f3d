"""The driver for public SSH services: localhost.run, serveo, pinggy and hosts that run sish.

| option | what it says | default |
|---|---|---|
| `via` | the service: `[USER@]HOST[:PORT]`, such as `nokey@localhost.run` | needed |
| `name` | the name to ask for: a subdomain, or a domain of one's own | as the service likes |
| `port` | the port to ask for: 80 for most, 0 for pinggy | 80 |
| `scheme` | which of its addresses to take: `https` or `http` | https |
| `domain` | the domain it gives names in, where that is not its own | known for some |
| `output` | `json`: ask for JSON lines (localhost.run) | text |
| `token-env` | variable with a token that goes before the user, as pinggy wants it | |
| `identity`, `known-hosts`, `trust` | as for the engine ssh; without `identity` no key is shown | |

The service is told of no key that was not named, and learns the tunnel's address itself: it says it
in its session's words, and may say another at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineMissing, EngineOptionInvalid
from underpass.drivers.foreign_engine import ForeignEngine
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
)
from underpass.drivers.ssh.configuration import last_hop, write_configuration
from underpass.drivers.ssh.detection import detect_openssh
from underpass.drivers.ssh.others import read_words as read_ssh_words
from underpass.drivers.ssh.others import split_spec
from underpass.drivers.ssh.route import Hop, is_host
from underpass.drivers.ssh.settings import SshSettings
from underpass.drivers.ssh_service_reading import DOMAINS, Announcements, domains_of
from underpass.guard.secrets import Secret
from underpass.model.spec import TunnelSpec

CONFIG_FILE: Final = "ssh-service.conf"
OF_SSH: Final = ("via", "port", "identity", "known-hosts", "trust")
OWN: Final = ("name", "scheme", "domain", "output", "token-env")

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Everything the user chose."""

    ssh: SshSettings
    announcements: Announcements
    name: str = ""
    wants_json: bool = False
    token_variable: str = ""

    @property
    def hop(self) -> Hop:
        """The service."""
        return self.ssh.hops[0]

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> ServiceSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in (*OF_SSH, *OWN):
                raise _invalid(key, "known are " + ", ".join((*OF_SSH, *OWN)))
        if "via" not in options:
            raise _invalid("via", "it is needed: --via ssh-service:nokey@localhost.run")
        shared = {key: value for key, value in options.items() if key in OF_SSH}
        try:
            ssh = SshSettings.parse({"port": "80", "config": "none", **shared})
        except EngineOptionInvalid as error:
            raise _invalid(error.option, error.why) from error
        if len(ssh.hops) != 1:
            raise _invalid("via", "it names one host, the service")
        name, scheme = options.get("name", ""), options.get("scheme", "https")
        domain, output = options.get("domain", ""), options.get("output", "text")
        variable = options.get("token-env", "")
        for option, text in (("name", name), ("domain", domain)):
            if text and (not text.isascii() or ":" in text or not is_host(text)):
                raise _invalid(option, "it is a name as in DNS")
        if scheme not in ("https", "http"):
            raise _invalid("scheme", "it is one of https, http")
        if output not in ("text", "json"):
            raise _invalid("output", "it is one of text, json")
        if variable and not _VARIABLE.fullmatch(variable):
            raise _invalid("token-env", "it is the name of a variable, not the token itself")
        domains = (domain.lower(),) if domain else domains_of(ssh.hops[0].host.lower())
        own_name = name.lower() if "." in name else ""
        announcements = Announcements(domains, own_name, scheme)
        return cls(ssh, announcements, name, output == "json", variable)

    def token(self, site: Site) -> Secret | None:
        """The token; None where none is named. Raises ``EngineOptionInvalid``."""
        if not self.token_variable:
            return None
        text = site.environment.get(self.token_variable, "")
        if not _TOKEN.fullmatch(text):
            raise _invalid("token-env", "the variable is not set, or holds no token")
        return Secret(text)


@dataclass(frozen=True, slots=True)
class SshServiceDriver:
    """See ``Driver``. Satisfies ``KeepsNames``."""

    announcements: Announcements = field(default_factory=Announcements)

    @property
    def name(self) -> str:
        """The engine's word."""
        return "ssh-service"

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``."""
        return await detect_openssh(site)

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings = ServiceSettings.parse(site.options)
        refuse_unsupported(self.name, spec, Abilities())
        if site.detection is not None and not site.detection.is_usable:
            raise EngineMissing(self.name, site.detection.why_not, site.detection.hint)
        hop, token, ssh = settings.hop, settings.token(site), settings.ssh
        if token is not None:
            # In the file and not among the words, where everybody on this machine reads them.
            user = f"{token.reveal()}+{hop.user}" if hop.user else token.reveal()
            ssh = replace(ssh, hops=(replace(hop, user=user),))
        has_key = bool(ssh.identity)
        agent = {
            key: site.environment[key] for key in _AGENT if has_key and key in site.environment
        }
        config = site.directory / CONFIG_FILE
        door = site.door.unix or site.directory / "door.sock"
        asked = f"{settings.name}:{ssh.port}" if settings.name else str(ssh.port)
        secure = settings.announcements.scheme == "https"
        limits = ["the service ends visitors' TLS and reads what passes, tokens too"]
        if not secure:
            limits = ["visitors' bytes pass in the clear, tokens too"]
        if not settings.name:
            limits.append("the address may change at any time; it is told when it does")
        return Plan(
            self.name,
            f"an address that {hop.host} gives, {settings.announcements.scheme} to the service",
            argv=(
                # No -N: the address is said in the session.
                *("ssh", "-T", "-F", str(config)),
                *("-o", f"PubkeyAuthentication={'yes' if has_key else 'no'}"),
                *("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "LogLevel=INFO"),
                *("-R", f"{asked}:{door}"),
                last_hop(ssh),
                # ssh itself would take words that begin with a dash, also behind the host.
                *(("--", "--output", "json") if settings.wants_json else ()),
            ),
            files=(PlannedFile(config, write_configuration(ssh).encode()),),
            environment=agent,
            secure=secure,
            door=DoorKind.UNIX,
            secrets=() if token is None else (token,),
            limits=tuple(limits),
        )

    def read(self, line: str) -> Observation | None:
        """See ``Driver``; knows the addresses of the services that everybody knows."""
        return self.announcements.read(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        self.plan(spec, site)
        bound = SshServiceDriver(ServiceSettings.parse(site.options).announcements)
        return ForeignEngine(bound, spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every ssh of this machine that leads to a service that everybody knows."""
        ours = programs(site.directory.parent)
        return tuple(
            program.tunnel(self.name, *told, (NO_GATE,))
            for program in running("ssh", "autossh")
            if program.pid not in ours
            and (told := read_words(program.words[1:], autossh=program.name == "autossh"))
        )

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """The address stays when it was asked for, as far as the service keeps its word."""
        return ServiceSettings.parse(site.options).name != ""

    def way(self, spec: TunnelSpec, site: Site) -> str:
        """That of the service; a token or a key may belong to a plan with other quotas."""
        settings = ServiceSettings.parse(site.options)
        if settings.token_variable or settings.ssh.identity:
            return ""
        host = settings.hop.host.lower()
        return next((way for at, way in _WAYS if host == at or host.endswith(f".{at}")), "")


_AGENT: Final = ("SSH_AUTH_SOCK",)
_WAYS: Final = (("localhost.run", "localhost-run"), ("pinggy.io", "pinggy"))


def read_words(words: Sequence[str], *, autossh: bool = False) -> tuple[str, str] | None:
    """What an ssh with these words exposes at which known service; None for any other. Pure."""
    told = read_ssh_words(words, autossh=autossh)
    host = told.host.lower()
    if not any(host == known or host.endswith(f".{known}") for known in DOMAINS):
        return None
    spec = next((spec for kind, spec in told.forwards if kind == "R"), None)
    return None if spec is None else (split_spec(spec)[1] or spec, host)


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine="ssh-service", option=option[:40], why=why)
