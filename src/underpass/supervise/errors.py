"""What can go wrong while a tunnel is kept as wanted."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused, Setup


@dataclass(eq=False)
class CommandNotFound(Misuse):
    """The command after ``--run --`` names no program."""

    command: str

    code = "command-not-found"
    sentence = "cannot start {command!r}: there is no such program"
    hint_text = "write the command after --run -- as you would type it, without quotes around all"


@dataclass(eq=False)
class CommandNotStarted(Setup):
    """The program after ``--run --`` exists but could not be started."""

    command: str
    why: str

    code = "command-not-started"
    sentence = "cannot start {command!r}: {why}"


@dataclass(eq=False)
class OriginEnded(Setup):
    """The program that serves the origin ended before the tunnel was proved."""

    command: str
    status: int

    code = "origin-ended"
    exit_code = 5
    sentence = "cannot keep the tunnel open: {command!r} ended with exit code {status}"
    hint_text = "run the command by itself to see why"


@dataclass(eq=False)
class ClosedWhileOpening(Refused):
    """Somebody closed the tunnel, or its time was over, before it was proved."""

    name: str
    reason: str

    code = "closed-while-opening"
    exit_code = 1
    sentence = "cannot open {name!r}: it was closed meanwhile ({reason})"
