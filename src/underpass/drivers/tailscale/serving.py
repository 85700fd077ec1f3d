"""A node's serve configuration with our part in it: added, looked for, refused. Pure.

Our part stands under ``Foreground`` and the id of a session that lasts as long as our connection to
tailscaled: what others configured is never touched, and when we go, however we go, tailscaled
takes exactly our part out again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

Config = dict[str, Any]

_HANDLED: Final = ("TCP", "Web")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The one door that a tunnel wants in the tailnet."""

    port: int
    door: str
    """``unix:/path`` or ``127.0.0.1:port``: where the gatehouse waits."""
    is_tcp: bool = False
    https: bool = False
    funnel: bool = False

    def to_json(self) -> str:
        """For a file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """From such a file."""
        return cls(**json.loads(text))

    def section(self, host: str) -> Config:
        """Our part, on the node called ``host``."""
        if self.is_tcp:
            return {"TCP": {str(self.port): {"TCPForward": self.door}}}
        where = f"{host}:{self.port}"
        proxy = self.door if self.door.startswith("unix:") else f"http://{self.door}"
        section: Config = {
            "TCP": {str(self.port): {"HTTPS": True} if self.https else {"HTTP": True}},
            "Web": {where: {"Handlers": {"/": {"Proxy": proxy}}}},
        }
        if self.funnel:
            section["AllowFunnel"] = {where: True}
        return section

    def url(self, host: str) -> str:
        """Where visitors come."""
        scheme = "tcp" if self.is_tcp else "https" if self.https else "http"
        is_usual = self.port == {"http": 80, "https": 443}.get(scheme)
        return f"{scheme}://{host}" + ("" if is_usual else f":{self.port}")


def add(config: Config | None, session: str, section: Config) -> Config:
    """The configuration with ``section`` for our session; everything else as it was."""
    changed = copy.deepcopy(config) or {}
    changed["Foreground"] = {**(changed.get("Foreground") or {}), session: section}
    return changed


def has(config: Config | None, session: str, section: Config) -> bool:
    """Whether our part stands there as we want it."""
    return ((config or {}).get("Foreground") or {}).get(session) == section


def holder(config: Config | None, session: str, port: int) -> str:
    """What else holds ``port`` on this node, in words; "" for nothing."""
    config = config or {}
    for other, section in (config.get("Foreground") or {}).items():
        if other != session and str(port) in ((section or {}).get("TCP") or {}):
            return f"another program's {describe(section, port)}"
    if str(port) in (config.get("TCP") or {}):
        return f"the configured {describe(config, port)}"
    return ""


def describe(section: Mapping[str, Any], port: int) -> str:
    """What ``section`` serves at ``port``, in words."""
    handler = (section.get("TCP") or {}).get(str(port)) or {}
    if target := handler.get("TCPForward"):
        return f"tcp forward to {target}"
    for where, web in (section.get("Web") or {}).items():
        if str(where).rpartition(":")[2] == str(port):
            targets = [
                str(each.get("Proxy") or each.get("Path") or "text")
                for each in (web.get("Handlers") or {}).values()
            ]
            return "proxy to " + ", ".join(targets)
    return "listener"


def doors(config: Config | None) -> list[tuple[str, int, str, bool]]:
    """Every door that a configuration opens: (session or "", port, what, to everybody)."""
    found = []
    config = config or {}
    sections = [("", config), *((config.get("Foreground") or {}).items())]
    for session, section in sections:
        for port in (section or {}).get("TCP") or {}:
            allowed = (section.get("AllowFunnel") or {}).items()
            public = any(str(at).rpartition(":")[2] == port and on for at, on in allowed)
            found.append((session, int(port), describe(section, int(port)), public))
    return found
