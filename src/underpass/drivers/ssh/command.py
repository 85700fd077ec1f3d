"""What every ssh of ours is run with: the names of its files, and its variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.plans import Site
from underpass.drivers.ssh.configuration import Resolved
from underpass.drivers.ssh.settings import SshSettings

CONFIG_FILE: Final = "ssh.conf"
CONTROL_SOCKET: Final = "ctl"
CONTROL_FACT: Final = "control"
"""Where ``detect`` says which control socket the user's own configuration names."""


def resolved_of(site: Site) -> Mapping[int, Resolved]:
    """What ``detect`` learnt of each host."""
    found: dict[int, list[tuple[str, str]]] = {}
    for key, value in (site.detection.facts if site.detection else {}).items():
        if key == CONTROL_FACT:
            continue
        at, _, keyword = key.split(".")
        found.setdefault(int(at), []).append((keyword, value))
    return found


def shared_control(settings: SshSettings, site: Site) -> Path | None:
    """The socket of the ssh that is to be shared; None where one of our own is run. Raises
    ``EngineOptionInvalid``."""
    if settings.control != "user":
        return Path(settings.control) if settings.control else None
    told = site.detection.facts.get(CONTROL_FACT, "") if site.detection else ""
    if site.detection is not None and not told:
        why = "your ssh configuration names no ControlPath for this host: give the socket's path"
        raise EngineOptionInvalid("ssh", "control", why)
    return Path(told or "/")


def variables(environment: Mapping[str, str], *, autossh: bool = False) -> dict[str, str]:
    """What ssh gets besides the minimum: the agent, and for autossh that it never gives up."""
    kept = {name: environment[name] for name in ("SSH_AUTH_SOCK",) if name in environment}
    return {**kept, "AUTOSSH_GATETIME": "0"} if autossh else kept
