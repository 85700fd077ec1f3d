"""Which way ssh goes: ``[USER@]HOST[:PORT]``, with commas from the first host to the last. Pure.

    alice@bastion.example.com
    bastion,alice@inner:2222
    alice@[2001:db8::7]:2222,db-host

A host may be an alias of the user's own ssh configuration. What could be read as an option, a
command or a second line anywhere on its way into ssh is refused here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from underpass.drivers.errors import EngineOptionInvalid

MAX_HOPS: Final = 8
# Each costs a round trip and a process; more is a mistake.

_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_HOP: Final = re.compile(
    r"(?:(?P<user>[^@]*)@)?(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^:\[\]@]*))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One host on the way."""

    host: str
    user: str = ""
    """"" for what the configuration or the system says."""
    port: int = 0
    """0 for the same."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}" + (f":{self.port}" if self.port else "")


def parse_route(text: str, *, option: str = "via") -> tuple[Hop, ...]:
    """Read a whole way, first host first. Raises ``EngineOptionInvalid``."""
    if not text.isascii() or not text.isprintable():
        raise _invalid(option, "it holds a character that no host name has")
    parts = text.split(",")
    if len(parts) > MAX_HOPS:
        raise _invalid(option, f"it leads over more than {MAX_HOPS} hosts")
    return tuple(_parse_hop(part, option) for part in parts)


def is_host(text: str) -> bool:
    """Whether ``text`` is a host name or an IP address."""
    return _HOST.fullmatch(text) is not None or _is_six(text)


def _parse_hop(text: str, option: str) -> Hop:
    match = _HOP.fullmatch(text)
    if match is None:
        raise _invalid(option, f"{text[:80]!r} is not [USER@]HOST[:PORT]")
    user, port = match["user"], int(match["port"] or 0)
    host = match["six"] if match["six"] is not None else match["host"]
    if user is not None and not _USER.fullmatch(user):
        raise _invalid(option, f"{user[:80]!r} is no user name")
    if not (_is_six(host) if match["six"] is not None else _HOST.fullmatch(host)):
        raise _invalid(option, f"{host[:80]!r} is no host name")
    if match["port"] is not None and not 0 < port < 65_536:
        raise _invalid(option, f"{port} is no port")
    return Hop(host, user or "", port)


def _is_six(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6 and "%" not in text
    except ValueError:
        return False


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine="ssh", option=option, why=why)
