"""The driver for bore: a port of a bore server leads to the gatehouse.

| option | what it says | default |
|---|---|---|
| `via` | the bore server: a host name or an IP address; its control port is 7835 | needed |
| `port` | public port there; 0: any free one | 0 |
| `secret-env` | variable that holds the server's shared secret | `BORE_SECRET` |
| `client` | `program`: bore itself; `native`: our own; `auto`: ours where bore is not | auto |

bore carries bytes and nothing else: no TLS, no names, nobody who tells where visitors come from. So
what comes through it is read as strictly as anything else, and judged by the same gates. Its
client ends when its server goes, with exit code 0, and never dials again: any end is a failure.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from underpass import __version__
from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.asked import ask_version
from underpass.drivers.base import Engine
from underpass.drivers.bore_reading import read_line
from underpass.drivers.errors import EngineMissing, EngineOptionInvalid
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.observations import Observation
from underpass.drivers.orphans import programs
from underpass.drivers.others import NO_GATE, running
from underpass.drivers.plans import Detection, ForeignTunnel, Plan, Site
from underpass.drivers.ssh.route import is_host
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

OLDEST: Final = (0, 5, 2)
# NO_COLOR is understood since then.
HALF_CLOSES: Final = (0, 6, 0)

KNOWN: Final = ("via", "port", "secret-env", "client")
CLIENTS: Final = ("auto", "program", "native")
NATIVE: Final = "underpass.drivers.bore_native"
HOW_TO_GET_IT: Final = "install it: cargo install bore-cli --version 0.6.0 --locked"

_VERSION: Final = re.compile(r"bore-cli (\d{1,4})\.(\d{1,4})\.(\d{1,4})")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class BoreSettings:
    """Everything the user chose."""

    server: str
    port: int = 0
    secret_variable: str = "BORE_SECRET"
    client: str = "auto"

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> BoreSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in KNOWN:
                raise _invalid(key, "known are " + ", ".join(KNOWN))
        if "via" not in options:
            raise _invalid("via", "it is needed: --via bore:HOST")
        server, port = options["via"], options.get("port", "0")
        if not server.isascii() or not is_host(server):
            raise _invalid("via", "it is the bore server's host name or IP address, without a port")
        if not (port.isascii() and port.isdigit() and int(port[:6]) < 65_536):
            raise _invalid("port", "it lies between 0 and 65535")
        variable = options.get("secret-env", "BORE_SECRET")
        if not _VARIABLE.fullmatch(variable):
            raise _invalid("secret-env", "it is the name of a variable, not the secret itself")
        client = options.get("client", "auto")
        if client not in CLIENTS:
            raise _invalid("client", "it is one of " + ", ".join(CLIENTS))
        return cls(server, int(port), variable, client)

    def secret(self, site: Site) -> Secret | None:
        """The shared secret; None where none is set."""
        text = site.environment.get(self.secret_variable, "")
        return Secret(text) if text else None

    def url(self, kind: Kind) -> str:
        """Where visitors come, as far as it is known beforehand."""
        host = f"[{self.server}]" if ":" in self.server else self.server
        return f"{'tcp' if kind is Kind.TCP else 'http'}://{host}:{self.port}"


class BoreDriver:
    """See ``Driver``. Satisfies ``KeepsNames``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "bore"

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``; npm has another program of the same name, which is told apart."""
        client = site.options.get("client", "auto")
        if client == "native":
            return _native(site)
        found = await self._find(site)
        return found if found.is_usable or client == "program" else _native(site, found.why_not)

    async def _find(self, site: Site) -> Detection:
        asked = await ask_version("bore", "--version", site, hint=HOW_TO_GET_IT)
        if isinstance(asked, Detection):
            return asked
        return judge_version(asked.program, asked.lines, signed_in=_has_secret(site))

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        settings = BoreSettings.parse(site.options)
        refuse_unsupported(self.name, spec, Abilities(tcp=True))
        detection = site.detection
        is_native = settings.client == "native" or (detection and detection.program == NATIVE)
        if detection is not None and not detection.is_usable:
            raise EngineMissing(self.name, detection.why_not, detection.hint)
        secret = settings.secret(site)
        # An inherited RUST_LOG would hide the only line that says where visitors come.
        environment = {"NO_COLOR": "1", "RUST_LOG": "info"}
        if secret is not None:
            environment["BORE_SECRET"] = secret.reveal()
        limits = ["visitors' bytes pass in the clear, tokens too: bore has no TLS"]
        if not settings.port:
            limits.append("the port may change when bore is started anew")
        return Plan(
            self.name,
            f"a port of {settings.server}, without TLS",
            argv=_native_words(settings, site) if is_native else _words(settings, site),
            environment=environment,
            url=settings.url(spec.kind),
            secrets=() if secret is None else (secret,),
            limits=(*limits, *(detection.limits if detection else ())),
        )

    def read(self, line: str) -> Observation | None:
        """See ``Driver``."""
        return read_line(line)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        self.plan(spec, site)
        return ForeignEngine(self, spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Every ``bore local`` of this machine that is not ours."""
        ours = programs(site.directory.parent)
        return tuple(
            program.tunnel(self.name, *read_words(program.words[2:]), (NO_GATE,))
            for program in running("bore")
            if program.words[1:2] == ("local",) and program.pid not in ours
        )

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """The address stays when the port was chosen."""
        return BoreSettings.parse(site.options).port != 0

    def way(self, spec: TunnelSpec, site: Site) -> str:
        """The one public server is somebody else's."""
        return "bore-pub" if BoreSettings.parse(site.options).server == "bore.pub" else ""


def _words(settings: BoreSettings, site: Site) -> tuple[str, ...]:
    program = site.detection.program if site.detection else ""
    return (
        *(program or "bore", "local"),
        # Said out loud: "localhost" may be ::1, where the gatehouse does not listen.
        *(str(site.door.port), "--local-host", "127.0.0.1"),
        *("--to", settings.server, "--port", str(settings.port)),
    )


def _native_words(settings: BoreSettings, site: Site) -> tuple[str, ...]:
    words = (str(site.door.port), settings.server, str(settings.port))
    return (sys.executable, "-I", "-m", NATIVE, *words)


def _native(site: Site, why: str = "") -> Detection:
    limits = (f"our own client carries it: {why}",) if why else ()
    return Detection(True, NATIVE, __version__, _has_secret(site), limits)


def judge_version(program: str, lines: list[str], *, signed_in: bool | None) -> Detection:
    """What the output of ``--version`` says of ``program``. Pure."""
    match = next((found for line in lines[:5] if (found := _VERSION.match(line))), None)
    if match is None:
        why = f"{program} is another program: npm's bore-cli (trybore.com) has the same name"
        hint = f"{HOW_TO_GET_IT}, and put it first on PATH"
        return Detection(True, program, why_not=why, hint=hint)
    version, numbers = match[0].removeprefix("bore-cli "), tuple(map(int, match.groups()))
    if numbers < OLDEST:
        why = f"bore {version} is older than 0.5.2"
        return Detection(True, program, version, why_not=why, hint=HOW_TO_GET_IT)
    limit = f"bore {version} ends a connection as soon as one side has said all"
    return Detection(True, program, version, signed_in, (limit,) if numbers < HALF_CLOSES else ())


def read_words(words: Sequence[str]) -> tuple[str, str]:
    """What a ``bore local`` exposes and where, from its words; never its secret. Pure."""
    valued = {"-l": "--local-host", "-t": "--to", "-p": "--port", "-s": "--secret"}
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        key, equals, value = word.partition("=")
        if key.startswith("-"):
            found[valued.get(key, key)] = value if equals else next(rest, "")
        else:
            found.setdefault("port", word)
    port = found.get("--port", "0")
    public = found.get("--to", "") + (f":{port}" if port != "0" else "")
    return f"{found.get('--local-host', 'localhost')}:{found.get('port', '?')}", public


def _has_secret(site: Site) -> bool | None:
    try:
        return BoreSettings.parse(site.options).secret(site) is not None or None
    except EngineOptionInvalid:
        return None  # planning will say so


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine="bore", option=option[:40], why=why)
