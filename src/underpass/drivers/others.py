"""Programs of others on this machine, as every driver's ``foreign`` looks at them.

Their words may hold secrets: whoever reads them tells only what it knows to be an address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import psutil

from underpass.drivers.plans import ForeignTunnel

NO_GATE: Final = "whoever finds its address comes in: no gate of ours stands in front"


@dataclass(frozen=True, slots=True)
class Running:
    """One program that runs."""

    name: str
    pid: int
    words: tuple[str, ...] = field(repr=False)
    owner: str
    since: float

    def tunnel(
        self, engine: str, exposes: str, public: str = "", risks: tuple[str, ...] = ()
    ) -> ForeignTunnel:
        """A tunnel that it carries."""
        where = f"pid {self.pid}"
        return ForeignTunnel(
            engine, where, exposes, public, self.owner, self.pid, self.since, risks
        )


def running(*names: str) -> Iterator[Running]:
    """Every program of one of these names, ours too; all of them without names.

    What ends while it is looked at is left out, and so is what this user may not look at.
    """
    asked = ["pid", "name", "cmdline", "username", "create_time", "status"]
    for process in psutil.process_iter(asked):
        facts = process.info
        words = tuple(facts["cmdline"] or ())
        if not words or facts["status"] == psutil.STATUS_ZOMBIE:
            continue
        # The kernel cuts names at 15 characters; a script's name is its interpreter's.
        name = facts["name"] or os.path.basename(words[0])
        if not names or name in names:
            yield Running(
                name, facts["pid"], words, facts["username"] or "", facts["create_time"] or 0.0
            )
