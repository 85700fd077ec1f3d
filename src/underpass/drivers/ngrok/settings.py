"""What the user chose for ngrok, read and judged. Pure.

| option | what it says | default |
|---|---|---|
| `url` | the address to ask for: `https://HOST`, `HOST`, or `tcp://HOST:PORT` | as ngrok likes |
| `client` | `program`: ngrok's agent; `sdk`: its Python SDK; `auto`: what is here | auto |
| `pooling` | `yes`: others may be online at the same address | no |
| `edge-gates` | `yes`: the `ip` gate is kept at ngrok's edge, too | no |
| `account` | `free` or `paid`: how much proofs may use | free |
| `authtoken-env` | variable that holds the authtoken | `NGROK_AUTHTOKEN` |
| `authtoken-file` | private file that holds it | ngrok's own configuration |
| `server` | `HOST:PORT` of another ingress than ngrok's own | |
| `server-ca` | PEM file of the authority that signed its certificate | |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.ssh.route import is_host

ENGINE: Final = "ngrok"
CLIENTS: Final = ("auto", "program", "sdk")
ACCOUNTS: Final = ("free", "paid")
KNOWN: Final = (
    *("url", "client", "pooling", "edge-gates", "account"),
    *("authtoken-env", "authtoken-file", "server", "server-ca"),
)
MAX_PATH: Final = 4096

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_URL: Final = re.compile(
    r"(?:(?P<scheme>https|tcp)://)?(?P<host>[^:/?#\s\[\]@]+)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address that was asked for."""

    host: str
    port: int = 0
    """Of a tcp address; 0 for HTTPS."""

    @property
    def url(self) -> str:
        """As visitors write it."""
        return f"tcp://{self.host}:{self.port}" if self.port else f"https://{self.host}"


@dataclass(frozen=True, slots=True)
class NgrokSettings:
    """Everything the user chose."""

    wanted: Wanted | None = None
    client: str = "auto"
    pooling: bool = False
    edge_gates: bool = False
    account: str = "free"
    token_variable: str = "NGROK_AUTHTOKEN"
    token_file: str = ""
    server: str = ""
    server_ca: str = ""

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> NgrokSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in KNOWN:
                raise invalid(key, "known are " + ", ".join(KNOWN))
        variable = options.get("authtoken-env", "NGROK_AUTHTOKEN")
        if not _VARIABLE.fullmatch(variable):
            raise invalid("authtoken-env", "it is the name of a variable, not the token itself")
        return cls(
            _parse_url(options["url"]) if "url" in options else None,
            _one_of("client", options.get("client", "auto"), CLIENTS),
            _one_of("pooling", options.get("pooling", "no"), ("yes", "no")) == "yes",
            _one_of("edge-gates", options.get("edge-gates", "no"), ("yes", "no")) == "yes",
            _one_of("account", options.get("account", "free"), ACCOUNTS),
            variable,
            _parse_path("authtoken-file", options.get("authtoken-file", "")),
            _parse_server(options.get("server", "")),
            _parse_path("server-ca", options.get("server-ca", "")),
        )


def invalid(option: str, why: str) -> EngineOptionInvalid:
    """The error for an option that cannot be used."""
    return EngineOptionInvalid(engine=ENGINE, option=option[:40], why=why)


def _parse_url(text: str) -> Wanted:
    match = _URL.fullmatch(text) if text.isascii() and text.isprintable() else None
    if match is None or not is_host(match["host"]) or "." not in match["host"]:
        raise invalid("url", "it is https://HOST, HOST, or tcp://HOST:PORT")
    port = int(match["port"] or 0)
    if match["scheme"] == "tcp" and not 0 < port < 65_536:
        raise invalid("url", "a tcp address names its port, between 1 and 65535")
    if match["scheme"] != "tcp" and match["port"] is not None:
        raise invalid("url", "an HTTPS address names no port: ngrok's is 443")
    return Wanted(match["host"].lower(), port)


def _parse_server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not text:
        return ""
    good = colon and text.isascii() and ":" not in host and is_host(host) and port.isdigit()
    if not good or not 0 < int(port[:6]) < 65_536:
        raise invalid("server", "it is HOST:PORT")
    return text


def _parse_path(option: str, text: str) -> str:
    if text and not (
        PurePosixPath(text).is_absolute() and text.isprintable() and len(text) <= MAX_PATH
    ):
        raise invalid(option, "it is the absolute path of a file")
    return text


def _one_of(option: str, text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise invalid(option, "it is one of " + ", ".join(words))
    return text
