"""What every ssh of ours is run with: the names of its files, and its variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from underpass.drivers.plans import Site
from underpass.drivers.ssh.configuration import Resolved

CONFIG_FILE: Final = "ssh.conf"
CONTROL_SOCKET: Final = "ctl"


def resolved_of(site: Site) -> Mapping[int, Resolved]:
    """What ``detect`` learnt of each host."""
    found: dict[int, list[tuple[str, str]]] = {}
    for key, value in (site.detection.facts if site.detection else {}).items():
        at, _, keyword = key.split(".")
        found.setdefault(int(at), []).append((keyword, value))
    return found


def variables(environment: Mapping[str, str], *, autossh: bool = False) -> dict[str, str]:
    """What ssh gets besides the minimum: the agent, and for autossh that it never gives up."""
    kept = {name: environment[name] for name in ("SSH_AUTH_SOCK",) if name in environment}
    return {**kept, "AUTOSSH_GATETIME": "0"} if autossh else kept
