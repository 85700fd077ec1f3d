"""The options of the engine ssh, read from text. Pure.

| option | what it says | default |
|---|---|---|
| `via` | the way: `[USER@]HOST[:PORT]`, hosts to jump over first | needed |
| `bind` | address at the far host where visitors come, or `unix:///path` | `127.0.0.1` |
| `port` | port there; 0: any free one | 0 |
| `url` | the public address, where something at the far host leads to `port` or path | |
| `identity`, `certificate` | files of a private key and its certificate | agent, `~/.ssh` |
| `known-hosts` | file with the far hosts' keys | `~/.ssh/known_hosts` |
| `trust` | `pinned`: unknown host keys are refused; `new`: they are learnt once | pinned |
| `config` | `user`: aliases and keys of `~/.ssh/config` count; a file in its place; `none` | user |
| `autossh` | `yes`: run autossh, where somebody insists | no |
| `control` | socket of an ssh that runs already, or `user`: its `ControlPath`; it is shared | |
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.ssh.route import Hop, parse_route

KNOWN: Final = (
    "via",
    "bind",
    "port",
    "url",
    "identity",
    "certificate",
    "known-hosts",
    "trust",
    "config",
    "autossh",
    "control",
)

_UNIX: Final = "unix://"
_SOCKET: Final = re.compile(r"unix://(?:/[A-Za-z0-9._-]+)+", re.ASCII)

_UNQUOTABLE: Final = frozenset("\"'\\%$\n\r\0")
# What ssh's configuration expands or ends a word at, also between quotes.


@dataclass(frozen=True, slots=True)
class SshSettings:
    """Everything the user chose."""

    hops: tuple[Hop, ...]
    bind: str = "127.0.0.1"
    port: int = 0
    url: str = ""
    identity: str = ""
    certificate: str = ""
    known_hosts: str = ""
    trust: str = "pinned"
    config: str = "user"
    autossh: bool = False
    control: str = ""

    @property
    def socket(self) -> str:
        """Path of the Unix socket at the far host; "" where a port is asked for."""
        return self.bind.removeprefix(_UNIX) if self.bind.startswith(_UNIX) else ""

    @property
    def is_loopback(self) -> bool:
        """Visitors come from the far host itself."""
        return not self.socket and ipaddress.ip_address(self.bind).is_loopback

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> SshSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in KNOWN:
                raise _invalid(key, "known are " + ", ".join(KNOWN))
        if "via" not in options:
            raise _invalid("via", "it is needed: --via ssh:[USER@]HOST[:PORT]")
        settings = cls(
            parse_route(options["via"]),
            _address(options.get("bind", "127.0.0.1")),
            _port(options.get("port", "0")),
            _url(options.get("url", "")),
            _path("identity", options.get("identity", "")),
            _path("certificate", options.get("certificate", "")),
            _path("known-hosts", options.get("known-hosts", "")),
            _among("trust", options.get("trust", "pinned"), "pinned", "new"),
            _configuration(options.get("config", "user")),
            _among("autossh", options.get("autossh", "no"), "no", "yes") == "yes",
            _control(options.get("control", "")),
        )
        if settings.socket:
            if not settings.url:
                raise _invalid("bind", "nobody dials a socket from afar: give the url, too")
            if settings.port or settings.control:
                raise _invalid("bind", "a socket goes with neither port nor control")
        elif settings.url and not settings.port:
            raise _invalid("url", "what leads there must know the port: give port, too")
        if settings.control and settings.autossh:
            raise _invalid("control", "an ssh that runs already is not started by autossh")
        return settings


def _address(text: str) -> str:
    if text.startswith(_UNIX):
        if not _SOCKET.fullmatch(text):
            raise _invalid("bind", "unix:// is followed by a whole path of A-Z, a-z, 0-9, . _ -")
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        why = "it is an IP address (0.0.0.0 and :: mean all) or unix:///path"
        raise _invalid("bind", why) from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65_536):
        raise _invalid("port", "it lies between 0 and 65535")
    return int(text)


def _url(text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises for a port out of range)
    except ValueError:
        parts = urlsplit("")
    is_plain = text.isascii() and text.isprintable() and not set(text) & set(" \"'<>\\^`{|}@#?")
    if parts.scheme not in ("http", "https", "tcp") or not parts.hostname or not is_plain:
        raise _invalid("url", "it begins with https://, http:// or tcp:// and names a host")
    return text


def _path(option: str, text: str) -> str:
    if not text:
        return ""
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    if not path.is_absolute() or not text.isprintable() or set(text) & _UNQUOTABLE:
        raise _invalid(option, "it is a whole path, without quotes, %, $ or \\")
    return str(path)


def _configuration(text: str) -> str:
    return text if text in ("user", "none") else _path("config", text)


def _control(text: str) -> str:
    return text if text == "user" else _path("control", text)


def _among(option: str, text: str, *choices: str) -> str:
    if text not in choices:
        raise _invalid(option, "it is one of " + ", ".join(choices))
    return text


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine="ssh", option=option[:40], why=why)
