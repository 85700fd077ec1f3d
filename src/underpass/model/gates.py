"""The text of a gate.

    bearer                     a fresh token, in Authorization or Underpass-Token (the default)
    basic                      user and password; the user is ``underpass``
    basic:alice                the same with another user
    ip:203.0.113.0/24          visitors from these addresses only
    ip:203.0.113.7,2001:db8::/32
    link                       an unguessable path prefix

A text names no secret: those are made when the tunnel opens. ``str`` gives back what was written.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from underpass.model.errors_spec import GateMalformed, GateUnknown

GATE_KINDS: Final = ("bearer", "basic", "ip", "link")
DEFAULT_USER: Final = "underpass"
MAX_CIDRS: Final = 64
"""They travel in every HELLO (``Terms.allow``) and are asked in order."""

_USER = re.compile(r"[A-Za-z0-9._@+-]{1,64}")


@dataclass(frozen=True, slots=True, repr=False)
class GateSpec:
    """One gate as asked for. Made by ``parse_gate``."""

    kind: str
    """One of ``GATE_KINDS``."""
    argument: str = ""
    """User of ``basic``, addresses of ``ip``, as written; else ""."""

    @property
    def user(self) -> str:
        """The user name that a ``basic`` gate asks for."""
        return self.argument or DEFAULT_USER

    @property
    def cidrs(self) -> tuple[str, ...]:
        """The networks of an ``ip`` gate in canonical form; of any other gate none."""
        if self.kind != "ip":
            return ()
        return tuple(str(_network(part)) for part in self.argument.split(","))

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    def __repr__(self) -> str:
        return f"GateSpec({str(self)!r})"


def parse_gate(text: str) -> GateSpec:
    """Parse the text of a gate. Raises ``GateUnknown`` or ``GateMalformed``."""
    kind, colon, argument = text.partition(":")
    if kind not in GATE_KINDS:
        raise GateUnknown(text=text[:80])
    if kind in {"bearer", "link"} and colon:
        # What stands there may well be a secret, so it is not repeated.
        raise GateMalformed(text=kind, why="it takes no argument: its secret is made for it")
    if kind == "basic" and colon and not _USER.fullmatch(argument):
        raise GateMalformed(text=kind, why="a user is 1 to 64 of A-Z a-z 0-9 . _ @ + -")
    if kind == "ip":
        _check_networks(argument)
    return GateSpec(kind, argument)


def _check_networks(argument: str) -> None:
    parts = argument.split(",")
    if len(parts) > MAX_CIDRS:
        raise GateMalformed(text="ip", why=f"at most {MAX_CIDRS} networks can be named")
    for part in parts:
        try:
            _network(part)
        except ValueError:
            why = f"{part[:80]!r} is no address and no network"
            raise GateMalformed(text="ip", why=why) from None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network ``text`` names. Host bits are refused: 10.0.0.1/8 is more likely a slip."""
    if "%" in text or not text.isascii() or _has_mask(text):
        raise ValueError(text)
    return ipaddress.ip_network(text)


def _has_mask(text: str) -> bool:
    _, slash, length = text.partition("/")
    return bool(slash) and not length.isdecimal()
