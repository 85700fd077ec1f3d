"""What the user chose for tailscale. Pure.

| option | what it says | default |
|---|---|---|
| `share` | `serve`: for the tailnet; `funnel`: for everybody | serve |
| `port` | the port there | http 80, https 443; a tcp tunnel's is its origin's |
| `https` | `yes`: tailscaled ends TLS with a certificate of the node's own | no; funnel: yes |
| `daemon` | `running`: the one that is here; `private`: one of this tunnel alone | running |
| `socket` | where the running one listens | `/var/run/tailscale/tailscaled.sock` |
| `door` | how it comes to the gatehouse: `unix` or `port` | unix for root, else port |
| `witness` | socket of another node's daemon, from which proofs come | the same node |
| `auth-key-file` | file with the key that lets a private one join | `auth-key-env` |
| `auth-key-env` | variable with that key | `TS_AUTHKEY` |
| `login-server` | where a private one joins | Tailscale's own |
| `hostname` | what a private one is called in the tailnet | the tunnel's name |
| `tags` | tags that a private one asks for, with commas | none |
| `state` | directory that keeps a private node; without it the node ends with the tunnel | none |
| `inbound` | what else the tailnet may reach on a private one: `closed` or `policy` | closed |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.plans import Site
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

DEFAULT_SOCKET: Final = "/var/run/tailscale/tailscaled.sock"
FUNNEL_PORTS: Final = (443, 8443, 10_000)

COMMON: Final = ("share", "port", "https", "daemon", "door", "witness")
RUNNING: Final = ("socket",)
PRIVATE: Final = (
    *("auth-key-file", "auth-key-env", "login-server"),
    *("hostname", "tags", "state", "inbound"),
)

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TAG: Final = re.compile(r"tag:[a-z][a-z0-9-]{0,49}")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]")


@dataclass(frozen=True, slots=True)
class TailscaleSettings:
    """Everything the user chose."""

    share: str = "serve"
    port: int = 0
    """0: the usual one for the kind of origin."""
    https: bool = False
    is_private: bool = False
    socket: str = DEFAULT_SOCKET
    door: str = ""
    """"" for what this user may."""
    witness: str = ""
    auth_key_file: str = ""
    auth_key_variable: str = "TS_AUTHKEY"
    login_server: str = ""
    hostname: str = ""
    tags: tuple[str, ...] = ()
    state: str = ""
    inbound: str = "closed"

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> TailscaleSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        is_private = _word(options, "daemon", "running", "private") == "private"
        known = (*COMMON, *(PRIVATE if is_private else RUNNING))
        for key in options:
            if key not in known:
                elsewhere = key in (*PRIVATE, *RUNNING)
                why = "it goes with daemon=" + ("running" if is_private else "private")
                raise _invalid(key, why if elsewhere else "known are " + ", ".join(known))
        share = _word(options, "share", "serve", "funnel")
        https = _word(options, "https", "no" if share == "serve" else "yes", "yes", "no") == "yes"
        if share == "funnel" and not https:
            raise _invalid("https", "funnel's visitors always speak TLS")
        tags = tuple(tag for tag in options.get("tags", "").split(",") if tag)
        if not all(_TAG.fullmatch(tag) for tag in tags):
            raise _invalid("tags", "they are tag:NAME, with commas between them")
        variable = options.get("auth-key-env", "TS_AUTHKEY")
        if not _VARIABLE.fullmatch(variable):
            raise _invalid("auth-key-env", "it is the name of a variable, not the key itself")
        hostname = options.get("hostname", "")
        if hostname and not _LABEL.fullmatch(hostname):
            raise _invalid("hostname", "it is one label: small letters, digits and hyphens")
        return cls(
            share,
            _port(options, share),
            https,
            is_private,
            _path(options, "socket") or DEFAULT_SOCKET,
            _word(options, "door", "", "unix", "port"),
            _path(options, "witness"),
            _path(options, "auth-key-file"),
            variable,
            _server(options),
            hostname,
            tags,
            _path(options, "state"),
            _word(options, "inbound", "closed", "policy"),
        )

    def port_for(self, spec: TunnelSpec) -> int:
        """The port in the tailnet. Raises ``EngineOptionInvalid`` where only the user knows it."""
        if self.port:
            return self.port
        if spec.kind is not Kind.TCP:
            return 443 if self.https else 80
        if not spec.origin.port:
            raise _invalid("port", "it is needed: a tcp origin on a Unix socket has none")
        return spec.origin.port

    def auth_key(self, site: Site) -> Secret | None:
        """The key in the variable; None where none is set, or a file has it."""
        text = site.environment.get(self.auth_key_variable, "")
        return Secret(text) if text and not self.auth_key_file else None


def _word(options: Mapping[str, str], key: str, default: str, *others: str) -> str:
    value = options.get(key, default)
    known = dict.fromkeys(word for word in (default, *others) if word)
    if value not in known and value != default:
        raise _invalid(key, "it is one of " + ", ".join(known))
    return value


def _port(options: Mapping[str, str], share: str) -> int:
    text = options.get("port", "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65_536):
        raise _invalid("port", "it lies between 1 and 65535")
    if share == "funnel" and int(text) not in FUNNEL_PORTS:
        raise _invalid("port", "a funnel has 443, 8443 or 10000")
    return int(text)


def _path(options: Mapping[str, str], key: str) -> str:
    text = options.get(key, "")
    if text and (not text.isprintable() or not Path(text).is_absolute() or ".." in text):
        raise _invalid(key, "it is an absolute path")
    return text


def _server(options: Mapping[str, str]) -> str:
    text = options.get("login-server", "")
    if not text:
        return ""
    why = "it is https://HOST or https://HOST:PORT of a control server"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _invalid("login-server", why) from None
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    rest = (parts.path.strip("/"), parts.query, parts.fragment)
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host) or any(rest):
        raise _invalid("login-server", why)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise _invalid("login-server", "without TLS it must be on this machine")
    return f"{parts.scheme}://{parts.netloc}"


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine="tailscale", option=option[:40], why=why)
