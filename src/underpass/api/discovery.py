"""Which tunnels are open on this machine: every socket of the runtime directory is asked.

A socket whose process is gone is *stale*: it is named, never removed, because only people know
whether the machine it lies on is the one it was made on. A process that accepts but does not
answer in time (stopped, or stuck) is *silent*. All are asked first and then waited for together,
so that one silent process costs its own time only once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from underpass.api.client import Call
from underpass.api.errors import NameAmbiguous
from underpass.api.places import read_socket_name, require_private
from underpass.model.errors import UnderpassError
from underpass.model.errors_run import DaemonUnreachable, NoSuchTunnel, TimedOut
from underpass.model.nearest import nearest

SURVEY_SECONDS = 2.0
"""For all sockets together; a busy process answers within milliseconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """One tunnel, and the socket of the process that keeps it."""

    socket: Path
    tunnel: dict[str, Any]
    """As in ``underpass/v1/tunnels``: the facts of the tunnel with its verdict among them."""

    @property
    def name(self) -> str:
        return str(self.tunnel.get("name", ""))


@dataclass(slots=True)
class Survey:
    """What is open on this machine."""

    found: list[Found] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)
    """Sockets at which nobody listens any more."""
    silent: list[Path] = field(default_factory=list)
    """Sockets whose process did not answer, or not in our language."""

    def pick(self, name: str) -> Found:
        """The tunnel with this name or URL; raises ``NoSuchTunnel`` or ``NameAmbiguous``."""
        matching = [
            found for found in self.found if name in (found.name, found.tunnel.get("url") or "")
        ]
        if not matching and self.silent:
            raise DaemonUnreachable(str(self.silent[0]))
        if not matching:
            raise NoSuchTunnel(name, nearest(name, (found.name for found in self.found)))
        if len(matching) > 1:
            urls = " and ".join(str(found.tunnel.get("url")) for found in matching)
            raise NameAmbiguous(name, urls)
        return matching[0]


def survey(directory: Path, *, seconds: float = SURVEY_SECONDS) -> Survey:
    """Ask every socket in ``directory``; a directory that does not exist has none.

    Raises ``LooseMode`` or ``ForeignOwner`` for a directory that others can write to.
    """
    result, calls = Survey(), []
    if not directory.is_dir():
        return result
    require_private(directory)
    deadline = time.monotonic() + seconds
    for path in sorted(directory.glob("open-*.sock")):
        if read_socket_name(path) is None:
            continue
        try:
            calls.append(Call(path, "GET", "/v1/tunnels"))
        except DaemonUnreachable:
            # One that was removed since the directory was read has closed in good order.
            if path.exists():
                result.stale.append(path)
        except TimedOut:
            result.silent.append(path)
    for call in calls:
        call.allow(max(0.05, deadline - time.monotonic()))
        with call:
            try:
                tunnels = call.answer()["tunnels"]
                result.found.extend(Found(call.path, tunnel) for tunnel in tunnels)
            except (UnderpassError, KeyError, TypeError):
                result.silent.append(call.path)
    result.found.sort(key=lambda found: (found.name, found.socket))
    return result
