"""The programs that ways need: how to ask each for its version, and how to read the answer.

The shell asks and hands over what was printed; here it is only read. Variables count by their name
alone: that one is set says that there is a credential, and its value is nobody's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from underpass.decide.here import Found

_NUMBER = r"(\d+(?:\.\d+)*)"

_ASKED: Final[Mapping[str, tuple[tuple[str, ...], str]]] = MappingProxyType(
    {
        "ngrok": (("version",), rf"^ngrok version {_NUMBER}"),
        "cloudflared": (("version",), rf"^cloudflared version {_NUMBER}"),
        "tailscale": (("version",), rf"^{_NUMBER}"),
        "bore": (("--version",), rf"^bore-cli {_NUMBER}"),
        "ssh": (("-V",), rf"^OpenSSH_{_NUMBER}"),
        "autossh": (("-V",), rf"^autossh {_NUMBER}"),
        "wg": (("--version",), rf"^wireguard-tools v{_NUMBER}"),
    }
)

PROGRAMS: Final = tuple(_ASKED)
"""All programs that any way needs."""

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


def version_words(program: str) -> tuple[str, ...]:
    """What to put after the program's name."""
    return _ASKED[program][0]


def read_version(program: str, printed: str) -> Found:
    """What ``program`` printed, on either output, when it was asked."""
    match = re.search(_ASKED[program][1], printed, re.MULTILINE)
    if match is not None:
        return Found(program, match.group(1))
    if program == "bore" and printed.strip():
        # npm's bore-cli installs a program of another vendor under the same name.
        return Found(program, why_not="another product of the same name")
    return Found(program)


def accounts_of(names: Iterable[str]) -> frozenset[str]:
    """The vendors for which a variable of one of ``names`` holds a credential."""
    return frozenset(_CREDENTIALS[name] for name in names if name in _CREDENTIALS)
