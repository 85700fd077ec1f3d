"""Engines as this machine has them: what a driver's finding means for the ways.

Drivers look, and a shell hands over what they found. Variables count by their name alone: that one
is set says that there is a credential, and its value is nobody's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from underpass.decide.here import Foreign, Found

PROGRAM_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ngrok": "ngrok",
        "cloudflare": "cloudflared",
        "tailscale": "tailscale",
        "ssh": "ssh",
        "wireguard": "wg",
    }
)
"""What an engine's driver looks for. Ours needs none, bore's has a client of its own, and
ssh-service runs the same ssh."""

_CREDENTIALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NGROK_AUTHTOKEN": "ngrok",
        "CLOUDFLARE_API_TOKEN": "cloudflare",
        "TUNNEL_TOKEN": "cloudflare",
        "TUNNEL_TOKEN_FILE": "cloudflare",
        "TS_AUTHKEY": "tailscale",
    }
)

RELAY_VARIABLE: Final = "UNDERPASS_OPEN__RELAY"
"""Set where a relay of one's own is settled on."""

_NUMBER: Final = re.compile(r"\d{1,5}(?:\.\d{1,5}){1,3}")
_PORT: Final = re.compile(r":(\d{1,5})(?=[/,\s]|$)")


def found(engine: str, *, installed: bool, version: str, why_not: str) -> Found | None:
    """What a driver's finding says of the program; None where it is not here."""
    program = PROGRAM_OF.get(engine)
    if program is None or not (installed or version):
        return None
    number = _NUMBER.search(version)
    return Found(program, number.group() if number else "", why_not)


def foreign(engine: str, where: str, exposes: str) -> Foreign:
    """A tunnel of another's, with the local port it leads to as far as its words say that."""
    ports = _PORT.findall(exposes)
    return Foreign(engine, where, exposes, int(ports[-1]) if ports else 0)


def accounts_of(names: Iterable[str]) -> frozenset[str]:
    """The vendors for which a variable of one of ``names`` holds a credential."""
    return frozenset(_CREDENTIALS[name] for name in names if name in _CREDENTIALS)
