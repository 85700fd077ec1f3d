"""localtunnel as an engine of underpass: npm's client ``lt`` leads a name of a server to us.

    underpass open 3001 --engine localtunnel
    underpass open 3001 --via localtunnel:https://tunnels.example.com \
        --engine-option subdomain=tools

| option | what it says | default |
|---|---|---|
| `via` | the server: `http[s]://HOST[:PORT]` | `https://localtunnel.me` |
| `subdomain` | the name to ask for there | as the server likes |

What the client cannot do is refused when planning, with the reason: it carries HTTP only, tells
nobody's address, and has no TLS of its own between the server and us. What it says wrongly is not
believed: a name that is taken is answered with another one, as if nothing had happened.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineMissing, EngineOptionInvalid
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.observations import Carrying, Observation, Refusal
from underpass.drivers.plans import Detection, ForeignTunnel, Plan, Site
from underpass.drivers.process import minimal, run_to_end
from underpass.model.spec import TunnelSpec

ENGINE = "localtunnel"
PUBLIC_SERVER = "https://localtunnel.me"
OLDEST = (2, 0, 0)
ASK_SECONDS = 10.0
MAX_LINE = 2_000
HOW_TO_GET_IT = "install it: npm install --global localtunnel"

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})")
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_NAME = re.compile(r"[a-z][a-z0-9]{3,62}|[a-z][a-z0-9-]{4,61}[a-z0-9]")
# As the server judges it; a letter first, because the client reads a number as one: 0012 as 12.

_ANNOUNCED = re.compile(r"your url is: (https?://\S{1,300})")
_OFFLINE = re.compile(r"localtunnel:client tunnel server offline: (?P<why>.{1,200}), retry")
_REFUSED = re.compile(r"connection refused: (?P<at>\S{1,255}:\d{1,5}) ")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the user chose."""

    server: str = PUBLIC_SERVER
    subdomain: str = ""

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Settings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in ("via", "subdomain"):
                raise _invalid(key, "known are via, subdomain")
        server, subdomain = options.get("via", PUBLIC_SERVER), options.get("subdomain", "")
        if not _is_server(server):
            raise _invalid("via", "it is the server's address: http[s]://HOST[:PORT]")
        if subdomain and not _NAME.fullmatch(subdomain):
            raise _invalid("subdomain", "it has 4 to 63 of a-z, 0-9 and -, a letter first")
        return cls(server.rstrip("/"), subdomain)


@dataclass(frozen=True, slots=True)
class LocaltunnelDriver:
    """See ``underpass.drivers.base.Driver``. Satisfies ``KeepsNames``."""

    subdomain: str = ""
    """The name that was asked for, where this one reads the words of one tunnel."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return ENGINE

    async def detect(self, site: Site) -> Detection:
        """Look for the client. Other programs are called ``lt``, too: its own words tell."""
        program = shutil.which("lt", path=site.environment.get("PATH"))
        if program is None:
            return Detection(False, why_not="there is no program lt", hint=HOW_TO_GET_IT)
        told = []
        try:
            for word in ("--help", "--version"):
                _, lines = await run_to_end(
                    (program, word),
                    environment=minimal(site.environment),
                    directory=site.directory,
                    seconds=ASK_SECONDS,
                )
                told.append("\n".join(lines[:50]))
        except EngineMissing as error:
            return Detection(False, program, why_not=error.why, hint=HOW_TO_GET_IT)
        version = _VERSION.fullmatch(told[1].strip())
        if "--subdomain" not in told[0] or version is None:
            why = f"{program} is another program than localtunnel's"
            return Detection(True, program, why_not=why, hint=HOW_TO_GET_IT)
        if tuple(map(int, version.groups())) < OLDEST:
            why = f"localtunnel {version[0]} is older than 2.0.0"
            return Detection(True, program, version[0], why_not=why, hint=HOW_TO_GET_IT)
        return Detection(True, program, version[0])

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """Everything that will be, before anything is."""
        settings = Settings.parse(site.options)
        refuse_unsupported(self.name, spec, Abilities())
        detection = site.detection
        if detection is not None and not detection.is_usable:
            raise EngineMissing(self.name, detection.why_not, detection.hint)
        limits = [
            "what passes between the server and this machine is not encrypted, tokens too",
            "ten visitors at a time are served, as the server sets it; others wait",
        ]
        if not settings.subdomain:
            limits.append("the address changes whenever the client is started anew")
        return Plan(
            self.name,
            f"a name below {urlsplit(settings.server).hostname}",
            argv=(
                (detection.program if detection else "") or "lt",
                f"--port={site.door.port}",
                f"--host={settings.server}",
                *((f"--subdomain={settings.subdomain}",) if settings.subdomain else ()),
                # Not --local-host: with it the client writes another Host into requests, and spoils
                # whatever is no text beside it.
            ),
            environment={
                "DEBUG": "localtunnel:client",  # else it never says that its server is away
                "NODE_OPTIONS": "--dns-result-order=ipv4first",  # "localhost" may be ::1
            },
            secure=settings.server.startswith("https:"),
            limits=tuple(limits),
        )

    def read(self, line: str) -> Observation | None:
        """What one line says. Pure."""
        line = line[:MAX_LINE]
        if match := _ANNOUNCED.match(line):
            return self._judge(match[1])
        if match := _OFFLINE.search(line):
            # It would try for ever without another word, so that nobody knew what it waits for.
            why = f"the server does not take us: {_plain(match['why'])}"
            hint = "check its address, and that it runs: --via localtunnel:http[s]://HOST[:PORT]"
            return Refusal("far-end-unreachable", why, hint, lingers=True)
        if match := _REFUSED.search(line):
            at = _plain(match["at"])
            hint = "check that the server runs, and that nothing blocks its ports above 1023"
            return Refusal("far-end-unreachable", f"nobody answers at {at}", hint)
        return None

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """The engine that carries out the plan; ``ForeignEngine`` does all of it."""
        self.plan(spec, site)
        return ForeignEngine(LocaltunnelDriver(Settings.parse(site.options).subdomain), spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every localtunnel client of this machine that is not below this process."""
        ours = {each.pid for each in psutil.Process().children(recursive=True)}
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "username", "create_time"]):
            facts = process.info
            told = read_words(facts["cmdline"] or [])
            if told is not None and facts["pid"] not in ours:
                found.append(
                    ForeignTunnel(
                        self.name,
                        f"pid {facts['pid']}",
                        *told,
                        facts["username"] or "",
                        facts["pid"],
                        facts["create_time"] or 0.0,
                        ("whoever knows the address comes in: localtunnel has no gate",),
                    )
                )
        return tuple(found)

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """The address stays when it was asked for."""
        return Settings.parse(site.options).subdomain != ""

    def _judge(self, url: str) -> Observation | None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not _is_server(url):
            return Refusal(
                "far-end-strange", "the server gave an address that is none", lingers=True
            )
        if self.subdomain and host.partition(".")[0] != self.subdomain:
            # Perhaps by our own ghost: the server forgets a client one second after its last word.
            return Refusal(
                "name-taken",
                f"the server has given the name {self.subdomain} to somebody else",
                "ask for another: --engine-option localtunnel.subdomain=NAME",
                lingers=True,
            )
        return Carrying(url=url.rstrip("/"))


def read_words(words: list[str]) -> tuple[str, str] | None:
    """What a localtunnel client with these words exposes, and where; None for others. Pure."""
    at = next((at for at, word in enumerate(words[:3]) if _is_client(word)), None)
    if at is None:
        return None
    names = {"-p": "--port", "-h": "--host", "-s": "--subdomain", "-l": "--local-host"}
    found: dict[str, str] = {}
    rest = iter(words[at + 1 :])
    for word in rest:
        key, equals, value = word.partition("=")
        if key.startswith("-"):
            found[names.get(key, key)] = value if equals else next(rest, "")
    local = f"{found.get('--local-host', 'localhost')}:{found.get('--port', '?')}"
    server = urlsplit(found.get("--host", PUBLIC_SERVER)).hostname or ""
    name = found.get("--subdomain", "")
    return local, f"{name}.{server}" if name else server


def _is_client(word: str) -> bool:
    return os.path.basename(word) == "lt" or word.endswith("localtunnel/bin/lt.js")


def _is_server(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    is_plain = text.isascii() and text.isprintable() and not set(text) & set(" #?\\")
    if has_more or not is_plain or parts.scheme not in ("http", "https") or port == 0:
        return False
    return _HOST.fullmatch(parts.hostname or "") is not None


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine=ENGINE, option=option[:40], why=why)
