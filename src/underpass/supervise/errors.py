"""What can go wrong while a tunnel is kept as wanted."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Setup


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
