"""The text of one gate.

    bearer                     a fresh token, in Authorization or Underpass-Token (the default)
    basic                      user and password; the user is ``underpass``
    basic:alice                the same with another user
    ip:203.0.113.0/24          visitors from these addresses only
    ip:203.0.113.7,2001:db8::/32
    link                       an unguessable path prefix
    mtls:file:/etc/ca.pem      a client certificate of this authority (``gate_arguments``)
    signature:github           a webhook's signature over its raw body
    jwt:https://id.example.com,aud=tools
    oauth                      our own authorization server
    oauth:origin               the origin's own, which judges the tokens
    acme.badge:blue            a plug-in's gate: its kind has a dot

A text names no secret: those are made when the tunnel opens, or read from where a reference points.
``str`` gives back what was written. How gates are combined, and for which paths, is ``gate_rules``'
subject.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from underpass.model.errors_spec import GateMalformed, GateUnknown
from underpass.model.gate_arguments import parse_jwt, parse_mtls, parse_oauth, parse_signature
from underpass.model.nearest import nearest

GATE_KINDS: Final = ("bearer", "basic", "ip", "link", "mtls", "signature", "jwt", "oauth")
"""Those that come with us. A kind with a dot is a plug-in's: looked for when the guard is made."""
DEFAULT_USER: Final = "underpass"
MAX_CIDRS: Final = 64
"""They travel in every HELLO (``Terms.allow``) and are asked in order."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_SIX: Final = ipaddress.IPv6Network("2000::/3")
"""All that IANA has opened for global unicast."""
_DOCUMENTATION: Final = ("192.0.2.1", "198.51.100.1", "203.0.113.1")
"""RFC 5737: nobody has these."""

_USER: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# No + and no |: they join gates (``gate_rules``).
_PLUGGED: Final = re.compile(r"[a-z][a-z0-9-]{0,31}(?:\.[a-z0-9-]{1,32}){1,4}")
_ARGUMENT: Final = re.compile(r"[!-*,-{}~]{1,1024}")
# Printable, no space, no + and no |.


@dataclass(frozen=True, slots=True, repr=False)
class GateSpec:
    """One gate as asked for. Made by ``parse_gate``."""

    kind: str
    """One of ``GATE_KINDS``, or a plug-in's."""
    argument: str = ""
    """What stands behind the colon, as written; else ""."""

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

    @property
    def is_plugged(self) -> bool:
        """Whether a plug-in brings it."""
        return "." in self.kind

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    def __repr__(self) -> str:
        return f"GateSpec({str(self)!r})"


def parse_gate(text: str) -> GateSpec:
    """Parse the text of one gate. Raises ``GateUnknown`` or ``GateMalformed``."""
    kind, colon, argument = text.partition(":")
    if kind not in GATE_KINDS and not _PLUGGED.fullmatch(kind):
        raise GateUnknown(text=text[:80], near=nearest(kind, GATE_KINDS))
    if kind in {"bearer", "link"} and colon:
        # What stands there may well be a secret, so it is not repeated.
        raise GateMalformed(text=kind, why="it takes no argument: its secret is made for it")
    if kind == "basic" and colon and not _USER.fullmatch(argument):
        raise GateMalformed(text=kind, why="a user is 1 to 64 of A-Z a-z 0-9 . _ @ -")
    if colon and not _ARGUMENT.fullmatch(argument):
        why = "its argument is empty, too long, or holds a space, + or |"
        raise GateMalformed(text=kind, why=why)
    check = _CHECKS.get(kind)
    if check is not None:
        try:
            check(argument)
        except ValueError as error:
            raise GateMalformed(text=kind, why=str(error)) from None
    return GateSpec(kind, argument)


def foreign_address(cidrs: Iterable[str]) -> str:
    """An address that none of ``cidrs`` (of one ``ip`` gate) admits: what a proof asks about."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    four = [network for network in networks if network.version == 4]
    candidates = [ipaddress.IPv4Address(text) for text in _DOCUMENTATION]
    # No gate admits more than half of all addresses, so behind some network there is a gap.
    merged = ipaddress.collapse_addresses(n for n in four if isinstance(n, ipaddress.IPv4Network))
    ends = [int(network.broadcast_address) + 1 for network in merged]
    candidates += [ipaddress.IPv4Address(end) for end in ends if end < 2**32]
    return str(next(each for each in candidates if not any(each in net for net in four)))


def admits_most(cidrs: Iterable[str]) -> bool:
    """Whether ``cidrs``, taken together, are more than half of all addresses."""
    return _admits_most([ipaddress.ip_network(cidr) for cidr in cidrs])


def _check_networks(argument: str) -> None:
    parts = argument.split(",")
    if len(parts) > MAX_CIDRS:
        raise ValueError(f"at most {MAX_CIDRS} networks can be named")
    networks = []
    for part in parts:
        try:
            networks.append(_network(part))
        except ValueError:
            raise ValueError(f"{part[:80]!r} is no address and no network") from None
    if _admits_most(networks):
        why = "it admits more than half of all addresses; to open to everybody, say --public"
        raise ValueError(why)


def _admits_most(networks: list[Network]) -> bool:
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    admitted = sum(network.num_addresses for network in ipaddress.collapse_addresses(four))
    admitted_six = sum(
        min(network.num_addresses, _GLOBAL_SIX.num_addresses)
        for network in ipaddress.collapse_addresses(six)
        if network.overlaps(_GLOBAL_SIX)
    )
    return admitted > 2**31 or admitted_six > _GLOBAL_SIX.num_addresses // 2


def _network(text: str) -> Network:
    """The network ``text`` names; IPv4 written as IPv6 (``::ffff:…``) is IPv4. Host bits are
    refused: 10.0.0.1/8 is more likely a slip than a wish."""
    _, slash, length = text.partition("/")
    if "%" in text or not text.isascii() or (slash and not length.isdecimal()):
        raise ValueError(text)
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


_CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "ip": _check_networks,
    "mtls": parse_mtls,
    "signature": parse_signature,
    "jwt": parse_jwt,
    "oauth": parse_oauth,
}
"""What judges an argument, by kind; a ``ValueError`` says what is wrong with it."""
