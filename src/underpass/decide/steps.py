"""Steps: what exactly is to be typed or written, and how each is undone.

Commands are lists of words and are quoted only when shown. No step holds a secret: where an engine
needs one, the step says in which file or variable it belongs. Words in capitals are for the reader
to fill in.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from underpass.decide.need import Names, Need, Traffic, Visitor
from underpass.model.rules import is_name

HERE: Final = "here"
"""Where a step is done that names no place: beside the origin, or where it is to be reached."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: run ``argv``, write ``text`` to ``file``, or what ``note`` says."""

    argv: tuple[str, ...] = ()
    note: str = ""
    file: str = ""
    text: str = ""
    mode: int = 0o600
    environment: tuple[str, ...] = ()
    """Variables that must be set, by name: their values are secrets."""
    where: str = HERE

    @property
    def line(self) -> str:
        """The step on one line, as it can be typed where it can."""
        if self.argv:
            return shlex.join(self.argv)
        return f"write {self.file} (mode {self.mode:o})" if self.file else self.note


@dataclass(frozen=True, slots=True)
class Plan:
    """How a way is set up, and how it is taken down again."""

    run: tuple[Step, ...]
    undo: tuple[Step, ...]
    instead: tuple[Step, ...] = ()
    """The same by the engine's own program, for a machine without underpass: no gates of ours, no
    proofs."""
    theirs: str = ""
    """Why ``run`` is the vendor's own commands; "" where it is ours."""


CTRL_C: Final = Step(note="Ctrl-C ends the command, and with it the tunnel")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the traffic ends, as each vendor wants to read it."""

    names: Names

    @property
    def host(self) -> str:
        """An address instead of ``localhost``, which may mean ::1 to one side only."""
        origin = self.names.origin
        host = origin.host if origin is not None and origin.host else "127.0.0.1"
        return "127.0.0.1" if host == "localhost" else host

    @property
    def port(self) -> str:
        """The port, or the word to fill in."""
        origin = self.names.origin
        return str(origin.port) if origin is not None and origin.port else "PORT"

    @property
    def socket(self) -> str:
        """The Unix socket's path, or ""."""
        return self.names.origin.socket if self.names.origin is not None else ""

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The same as a URL of plain HTTP, or of the Unix socket."""
        return f"unix:{self.socket}" if self.socket else f"http://{self.address}"

    @property
    def label(self) -> str:
        """Our tunnel's, or the vendor's, name: from the host name, where that can be one."""
        hostname = self.names.hostname.lower()
        for name in (hostname.partition(".")[0], hostname.replace(".", "-")):
            if is_name(name):
                return name
        return "NAME"

    @property
    def hostname(self) -> str:
        """The public host name."""
        return self.names.hostname or "HOST.YOUR.DOMAIN"


ANTHROPIC: Final = "160.79.104.0/21"
"""Where hosted MCP clients of Anthropic call from, as its staff cite it."""


def addresses(need: Need) -> str:
    """The addresses for a gate by address: to fill in, unless the kind of visitor tells them."""
    return ANTHROPIC if need.visitor is Visitor.HOSTED_MCP else "CIDR"


def is_bytes(need: Need) -> bool:
    """Whether what passes is not HTTP."""
    return need.traffic in (Traffic.TCP, Traffic.UDP)
