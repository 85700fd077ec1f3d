"""The options of the engine cloudflare, read from text. Pure.

| option | what it says | default |
|---|---|---|
| `hostname` | the public name of a named tunnel, `HOST` or `HOST:PORT` | a quick tunnel's |
| `token-file` | file with the tunnel's token | |
| `token-env` | variable with the tunnel's token | |
| `credentials-file` | what `cloudflared tunnel create` wrote | |
| `tunnel` | the tunnel's id | from `credentials-file`'s name |
| `protocol` | `auto`, `quic`, or `http2` where UDP is blocked | auto |
| `region` | `us`: only edges there | |
| `edge` | addresses of another edge, `HOST:PORT,…` | Cloudflare's |
| `edge-ca` | PEM file with the authorities that edge's certificate may come from | built in |
| `quick-service` | another service that gives quick tunnels | Cloudflare's |
| `api-token-file`, `api-token-env` | a Cloudflare API token: routes DNS, and guards by Access | |
| `zone`, `account` | ids, where the API token reaches several | found |
| `access` | who passes Access: `ann@example.com`, `@example.com`, `service`, … | no Access |
| `access-token-file` | where the service token is written, for `curl -H @FILE` | nowhere |
| `api` | another address of the API | Cloudflare's |

Without a token or credentials it is a quick tunnel: no account, a random name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.ssh.route import is_host

KNOWN: Final = (
    *("hostname", "token-file", "token-env", "credentials-file", "tunnel", "protocol", "region"),
    *("edge", "edge-ca", "quick-service"),
    *("api-token-file", "api-token-env", "zone", "account", "access"),
    *("access-token-file", "api"),
)
PROTOCOLS: Final = ("auto", "quic", "http2")
API: Final = "https://api.cloudflare.com/client/v4"
MAX_EDGES: Final = 16
MAX_RULES: Final = 50

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_ADDRESS: Final = re.compile(r"(?P<host>[^:\[\]@/]{1,253})(?::(?P<port>\d{1,5}))?")
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$&'*+/=?^_`{|}~-]{0,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class CloudflareSettings:
    """Everything the user chose."""

    hostname: str = ""
    port: int = 443
    token_file: str = ""
    token_variable: str = ""
    credentials_file: str = ""
    tunnel: str = ""
    protocol: str = "auto"
    region: str = ""
    edges: tuple[str, ...] = ()
    edge_ca: str = ""
    quick_service: str = ""
    api_token_file: str = ""
    api_token_variable: str = ""
    zone: str = ""
    account: str = ""
    access: tuple[str, ...] = ()
    access_token_file: str = ""
    api: str = API

    @property
    def is_quick(self) -> bool:
        """No account: the name is given by chance."""
        return not (self.token_file or self.token_variable or self.credentials_file)

    @property
    def uses_api(self) -> bool:
        """Cloudflare's API is called."""
        return bool(self.api_token_file or self.api_token_variable)

    @property
    def authority(self) -> str:
        """The public name, with its port where that is not the usual one."""
        return self.hostname if self.port == 443 else f"{self.hostname}:{self.port}"

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> CloudflareSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in KNOWN:
                raise invalid(key, "known are " + ", ".join(KNOWN))
        hostname, port = _public(options.get("hostname", ""))
        credentials = _path("credentials-file", options)
        settings = cls(
            hostname,
            port,
            _path("token-file", options),
            _variable("token-env", options),
            credentials,
            _tunnel(options.get("tunnel", ""), credentials),
            _among("protocol", options.get("protocol", "auto"), PROTOCOLS),
            _among("region", options.get("region", ""), ("", "us")),
            _edges(options.get("edge", "")),
            _path("edge-ca", options),
            _url("quick-service", options.get("quick-service", "")),
            _path("api-token-file", options),
            _variable("api-token-env", options),
            _identity("zone", options),
            _identity("account", options),
            _access(options.get("access", "")),
            _path("access-token-file", options),
            _url("api", options.get("api", API)).rstrip("/"),
        )
        settings._check()
        return settings

    def _check(self) -> None:
        given = [self.token_file, self.token_variable, self.credentials_file]
        if sum(map(bool, given)) > 1:
            raise invalid("token-file", "one of token-file, token-env, credentials-file is enough")
        if self.is_quick and self.hostname:
            raise invalid("hostname", "a quick tunnel's name is given by chance: give token-file")
        if not self.is_quick and not self.hostname:
            raise invalid("hostname", "it is needed: the name that leads to this tunnel")
        if self.credentials_file and not self.tunnel:
            raise invalid("tunnel", "it is needed: the tunnel's id is not the file's name")
        if self.tunnel and not self.credentials_file:
            raise invalid("tunnel", "the token says which tunnel it is")
        if self.api_token_file and self.api_token_variable:
            raise invalid("api-token-env", "one of api-token-file, api-token-env is enough")
        if self.uses_api and self.is_quick:
            raise invalid("api-token-file", "a quick tunnel has no account to work with")
        if self.access and not self.uses_api:
            raise invalid("access", "it is put on by the API: give api-token-file")
        if "service" in self.access and not self.access_token_file:
            raise invalid("access", "service needs access-token-file, where its token is written")
        if self.access_token_file and not self.access:
            raise invalid("access-token-file", "it belongs to access")


def _public(text: str) -> tuple[str, int]:
    if not text:
        return "", 443
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"] or 443) if match else 0
    if match is None or not is_name(match["host"]) or not 0 < port < 65_536:
        raise invalid("hostname", "it is a name as in DNS, such as mcp.example.com")
    return match["host"].lower(), port


def is_name(text: str) -> bool:
    """Whether it is a name of at least two labels, and no address."""
    last = text.rpartition(".")[2]
    return text.isascii() and is_host(text) and "." in text and not last.isdigit()


def _tunnel(text: str, credentials: str) -> str:
    if text:
        if not _UUID.fullmatch(text):
            raise invalid("tunnel", "it is the tunnel's id, as cloudflared tunnel list tells it")
        return text
    stem = PurePosixPath(credentials).stem
    return stem if _UUID.fullmatch(stem) else ""


def _edges(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    edges = tuple(text.split(","))
    for edge in edges:
        match = _ADDRESS.fullmatch(edge)
        good = match is not None and match["port"] is not None and match["host"].isascii()
        if not (good and match and is_host(match["host"]) and 0 < int(match["port"]) < 65_536):
            raise invalid("edge", "it is HOST:PORT, more of them with commas")
    if len(edges) > MAX_EDGES:
        raise invalid("edge", f"more than {MAX_EDGES} are of no use")
    return edges


def _path(option: str, options: Mapping[str, str]) -> str:
    text = options.get(option, "")
    if not text:
        return ""
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    if not path.is_absolute() or not text.isprintable():
        raise invalid(option, "it is a whole path")
    return str(path)


def _variable(option: str, options: Mapping[str, str]) -> str:
    text = options.get(option, "")
    if text and not _VARIABLE.fullmatch(text):
        raise invalid(option, "it is the name of a variable, not the token itself")
    return text


def _identity(option: str, options: Mapping[str, str]) -> str:
    text = options.get(option, "")
    if text and not _ID.fullmatch(text):
        raise invalid(option, "it is an id of 32 hexadecimal digits")
    return text


def _url(option: str, text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises for a port out of range)
    except ValueError:
        parts = urlsplit("")
    host = parts.hostname or ""
    is_local = host in ("127.0.0.1", "localhost", "::1")
    is_plain = text.isascii() and text.isprintable() and not set(text) & set(" \"'<>\\^`{|}@#?%$")
    if not host or not is_host(host) or not is_plain:
        raise invalid(option, "it begins with https:// and names a host")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise invalid(option, "what passes there is secret: https://, or http:// on this machine")
    return text


def _access(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    rules = tuple(dict.fromkeys(part.lower() for part in text.split(",")))
    for rule in rules:
        good = _MAILBOX.fullmatch(rule) and is_name(rule.rpartition("@")[2])
        if rule != "service" and not good:
            raise invalid("access", "each is someone@example.com, @example.com, or service")
    if len(rules) > MAX_RULES:
        raise invalid("access", f"it has more than {MAX_RULES} entries: use a group of Access")
    return rules


def _among(option: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise invalid(option, "it is one of " + ", ".join(filter(None, choices)))
    return text


def invalid(option: str, why: str) -> EngineOptionInvalid:
    """The error for an option of this engine."""
    return EngineOptionInvalid(engine="cloudflare", option=option[:40], why=why)
