"""What cloudflared's lines say. Wording as seen from 2026.7.3 with ``--output json``.

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

from underpass.drivers.cloudflare.refusals import (
    DIALS,
    PLAIN,
    look_up,
    refuse_quick,
    refuse_registration,
)
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal

MAX_LINE: Final = 1 << 20
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


@dataclass(frozen=True, slots=True)
class Counting:
    """Its own numbers are at this loopback port."""

    port: int


Said = Began | Named | Joined | Parted | Reconfigured | Counting | Refusal

_METRICS: Final = re.compile(r"Starting metrics server on 127\.0\.0\.1:(\d{1,5})/metrics")
_BEGINNINGS: Final = ("Thank you for trying Cloudflare Tunnel", "Starting tunnel")
_PARTINGS: Final = (
    "Lost connection with the edge",
    "Serve tunnel error",
    "Connection terminated",
    "Unregistered tunnel connection",
)


def read_line(line: str) -> Said | None:
    """What one line says; None for what does not matter here. Pure."""
    line = line[:MAX_LINE].strip()
    told = _fields(line)
    if told is None and line.startswith('{"config":'):
        return Reconfigured(("unreadable",))  # cut off, perhaps: nobody knows where it leads
    if told is None:
        return look_up(line, PLAIN)
    message, error, index = told["message"], told["error"], told["connIndex"]
    if message.startswith(_BEGINNINGS):
        return Began()
    if match := _BOX.fullmatch(message):
        return Named(match[1])
    if match := _METRICS.fullmatch(message):
        return Counting(int(match[1]))
    if message == "Registered tunnel connection":
        return Joined(index)
    if message in _PARTINGS:
        # A connection that cannot be made says the same as one that was lost, and why besides.
        return look_up(error, DIALS) or Parted(index)
    if message == "Updated to new configuration":
        return Reconfigured(_services(told["config"]))
    if message.startswith("Error unmarshaling QuickTunnel response"):
        return refuse_quick(told["status_code"])
    if message in ("failed to serve incoming request", "Register tunnel error from server side"):
        return refuse_registration(error)
    return look_up(error, DIALS) or look_up(message, PLAIN)


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
        self.metrics_port = 0
        """Where its own numbers are; 0 before it has said so."""
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
            self.metrics_port = 0
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
        elif isinstance(said, Counting):
            self.metrics_port = said.port
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
