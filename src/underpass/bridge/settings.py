"""What a bridge is told, and what it tells: one JSON line each way at least. Pure.

The bridge is a process of its own. Its settings come on its stdin, never in its arguments, since
the command's words may hold what nobody should read in a process list; the stdin then stays open,
and its end is the order to stop.
"""

from __future__ import annotations

from typing import Final

import msgspec

ENDPOINT: Final = "/mcp"
"""Where both later transports are served."""
EVENTS_ENDPOINT: Final = "/sse"
"""Where the oldest transport begins; its POST path is announced there."""
MESSAGES_ENDPOINT: Final = "/messages/"
HEALTH: Final = "/.underpass/bridge"
"""Answers 200 while the server program can be started and speaks, else 503."""


class BridgeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one stdio server is bridged."""

    command: tuple[str, ...]
    """The server program and its arguments; no shell reads them."""
    socket: str
    """Unix socket to listen on; the directory around it is 0700."""
    pass_env: tuple[str, ...] = ()
    """Names of variables that the program gets besides the default ones. Their values are in the
    bridge's own environment: no line and no argument holds them."""
    max_sessions: int = 32
    """Sessions at a time, of both transports that have them; each has a process of its own."""
    idle_seconds: float = 1_800.0
    """After so long without a request under way, a session and its process are ended. Half an
    hour, as in the official SDK."""
    greeting_seconds: float = 15.0
    """How long a new process may take to answer a ping before it is used unasked."""

    @property
    def name(self) -> str:
        """The program's name, without arguments."""
        return self.command[0].rpartition("/")[2]


class BridgeNews(msgspec.Struct, frozen=True):
    """One line of a bridge's stdout."""

    event: str
    """``ready``: it serves, and its first process has answered. ``failed``: it ended at once."""
