"""What cloudflared's lines say. Wording as seen from 2026.7.2 with ``--output json``.

``read_line`` is pure. ``Reading`` folds its facts over the runs of one engine: cloudflared keeps
four connections, and only when the last is lost has the tunnel lost its way.

An address is taken from the box that tells a quick tunnel's name and from nowhere else: error
lines are full of other addresses.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal

MAX_LINE: Final = 64 * 1024
# A configuration that the dashboard pushes stands whole in one line.

FOREIGN: Final = "configuration-foreign"

_BOX: Final = re.compile(
    r"\|\s+https://([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}(?::\d{1,5})?)\s+\|"
)


@dataclass(frozen=True, slots=True)
class Began:
    """A run has begun: what was before is over."""


@dataclass(frozen=True, slots=True)
class Named:
    """A quick tunnel's name is known; nothing is carried yet."""

    authority: str


@dataclass(frozen=True, slots=True)
class Joined:
    """One connection is registered at the edge."""

    index: int


@dataclass(frozen=True, slots=True)
class Parted:
    """One connection is lost."""

    index: int


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """Cloudflare has pushed a configuration, which holds from now on."""

    services: tuple[str, ...]
    """Where it sends visitors, rule by rule."""


Said = Began | Named | Joined | Parted | Reconfigured | Refusal

_BEGINNINGS: Final = ("Thank you for trying Cloudflare Tunnel", "Starting tunnel")
_PARTINGS: Final = (
    "Lost connection with the edge",
    "Serve tunnel error",
    "Connection terminated",
    "Unregistered tunnel connection",
)
_VISITS: Final = (
    "Failed to proxy HTTP: ",
    "Error shutting down control stream: ",
    "cloudflared received a warp-routing request",
    "Received unknown connection type",
    "failed to start tcp flow",
)
"""What befalls one visitor, or is a consequence of an end: not about the tunnel."""

_NEW_TOKEN: Final = "copy the token anew: cloudflared tunnel token NAME, or the dashboard"
_OPEN_PORT: Final = "let TCP port 7844 out, and look for something that intercepts TLS"
_LATER: Final = "wait some minutes, or use a named tunnel, or --engine relay"

_PLAIN: Final[tuple[tuple[str, Refusal], ...]] = (
    (
        "Provided Tunnel token is not valid",
        Refusal("credential-refused", "the tunnel's token is no token", _NEW_TOKEN, fatal=True),
    ),
    (
        "Failed to read token file",
        Refusal(
            "credential-missing",
            "the file with the tunnel's token cannot be read",
            "check the path and its owner: --engine-option cloudflare.token-file=PATH",
            fatal=True,
        ),
    ),
    (
        "Tunnel credentials file ",
        Refusal(
            "credential-missing",
            "there is no such credentials file",
            "check the path: --engine-option cloudflare.credentials-file=PATH",
            fatal=True,
        ),
    ),
    (
        "couldn't read tunnel credentials",
        Refusal(
            "credential-refused",
            "the credentials file cannot be read",
            "it is the JSON file that cloudflared tunnel create wrote, not cert.pem",
            fatal=True,
        ),
    ),
    (
        "failed to request quick Tunnel",
        Refusal(
            "far-end-unreachable",
            "the service that gives quick tunnels does not answer",
            "check the network, and HTTPS_PROXY",
        ),
    ),
    (
        "failed to parse quick Tunnel ID",
        Refusal("quota-hit", "Cloudflare gives no quick tunnel now", _LATER, fatal=True),
    ),
    (
        "edge discovery:",
        Refusal(
            "name-lookup-failed",
            "the addresses of Cloudflare's edge are not found",
            "let DNS answer for _v2-origintunneld._tcp.argotunnel.com",
        ),
    ),
)

_DIALS: Final[tuple[tuple[str, Refusal], ...]] = (
    # how the error of a connection that cannot be made begins
    (
        "DialContext error",
        Refusal("far-end-unreachable", "Cloudflare's edge does not answer", _OPEN_PORT),
    ),
    (
        "TLS handshake with edge error",
        Refusal(
            "far-end-strange",
            "what answers is not Cloudflare's edge, or the clock is wrong",
            _OPEN_PORT,
        ),
    ),
    (
        "failed to dial to edge with quic",
        Refusal(
            "far-end-unreachable",
            "Cloudflare's edge does not answer by UDP",
            "let UDP port 7844 out, or: --engine-option cloudflare.protocol=http2",
        ),
    ),
)


def read_line(line: str) -> Said | None:
    """What one line says; None for what does not matter here. Pure."""
    line = line[:MAX_LINE].strip()
    told = _fields(line)
    if told is None:
        return _begins(line, _PLAIN)
    message, error, index = told["message"], told["error"], told["connIndex"]
    if message.startswith(_BEGINNINGS):
        return Began()
    if match := _BOX.fullmatch(message):
        return Named(match[1])
    if message == "Registered tunnel connection":
        return Joined(index)
    if message in _PARTINGS:
        # A connection that cannot be made says the same as one that was lost, and why besides.
        return _begins(error, _DIALS) or Parted(index)
    if message == "Updated to new configuration":
        return Reconfigured(_services(told["config"]))
    if message.startswith("Error unmarshaling QuickTunnel response"):
        limited = told["status_code"].startswith("429")
        words = (
            "Cloudflare limits how many quick tunnels it gives" if limited else _PLAIN[5][1].detail
        )
        return Refusal("quota-hit" if limited else "quick-refused", words, _LATER, fatal=True)
    if message in ("failed to serve incoming request", "Register tunnel error from server side"):
        return _registration(error)
    return _begins(error, _DIALS) or _begins(message, _PLAIN)


def _registration(error: str) -> Refusal | None:
    """What the edge said to a connection that wanted to be registered."""
    if not error or error.startswith(_VISITS) or error == "context canceled":
        return None
    if error.startswith("Unauthorized"):
        gone = "not found" in error.lower()
        words = (
            "there is no such tunnel any more" if gone else "Cloudflare refused the tunnel's secret"
        )
        return Refusal(
            "tunnel-missing" if gone else "credential-refused", words, _NEW_TOKEN, fatal=True
        )
    if error.startswith("already connected to this server"):
        return None
    return Refusal(
        "registration-refused",
        f"Cloudflare's edge does not take the connection: {error[:200]}",
        "wait a minute; limits of the account stand in its dashboard",
    )


def _begins(text: str, table: tuple[tuple[str, Refusal], ...]) -> Refusal | None:
    return next((refusal for beginning, refusal in table if text.startswith(beginning)), None)


def _fields(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    fields: dict[str, Any] = {
        key: told.get(key) if isinstance(told.get(key), str) else ""
        for key in ("message", "error", "config", "status_code")
    }
    index = told.get("connIndex")
    fields["connIndex"] = index if isinstance(index, int) and 0 <= index < 256 else -1
    return fields


def _services(config: str) -> tuple[str, ...]:
    try:
        rules = json.loads(config)["ingress"]
        return tuple(str(rule["service"]) for rule in rules)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ("unreadable",)


class Reading:
    """The facts of one engine's runs, one after another, as observations."""

    def __init__(self, *, scheme: str = "https", door: str = "") -> None:
        """``door`` is the one service to which visitors may be sent; "" allows none."""
        self.door = door
        self.is_lost = False
        """Every connection that there was is gone."""
        self.is_foreign = False
        """Cloudflare's configuration sends visitors past the gatehouse."""
        self._scheme = scheme
        self._authority = ""
        self._joined: set[int] = set()

    def read(self, line: str) -> Observation | None:
        """See ``Driver.read``."""
        said = read_line(line)
        if isinstance(said, Refusal):
            return said
        if isinstance(said, Began):
            self._joined.clear()
            self._authority, self.is_lost, self.is_foreign = "", False, False
        elif isinstance(said, Named):
            self._authority = said.authority
        elif isinstance(said, Joined):
            self._joined.add(said.index)
            self.is_lost = False
            return None if self.is_foreign else Carrying(self._url)
        elif isinstance(said, Parted):
            return self._part(said.index)
        elif isinstance(said, Reconfigured):
            return self._reconfigure(said.services)
        return None

    @property
    def _url(self) -> str:
        if not self._authority:
            return ""
        port = "" if ":" in self._authority or self._scheme == "https" else ":443"
        return f"{self._scheme}://{self._authority}{port}"

    def _part(self, index: int) -> Observation | None:
        if index not in self._joined:
            return None
        self._joined.discard(index)
        if self._joined:
            return None
        self.is_lost = True
        return Faltering("link-lost", "every connection to Cloudflare's edge is lost")

    def _reconfigure(self, services: tuple[str, ...]) -> Observation | None:
        allowed = ("http_status:", self.door) if self.door else ("http_status:",)
        others = [
            each for each in services if not (each == self.door or each.startswith(allowed[0]))
        ]
        self.is_foreign = bool(others) or not services
        if not self.is_foreign:
            return None
        where = ", ".join(others)[:120] if others else "nowhere"
        return Refusal(
            FOREIGN,
            f"the tunnel's configuration at Cloudflare sends visitors to {where}, past our gates",
            "give an API token, so that it is set right: --engine-option cloudflare.api-token-file="
            "PATH; or use a tunnel with a configuration of its own: cloudflare.credentials-file",
            fatal=True,
        )
