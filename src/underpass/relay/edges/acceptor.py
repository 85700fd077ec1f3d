"""Accepting sockets ourselves, where asyncio's servers would read before we have looked."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

logger = logging.getLogger(__name__)

_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PAUSE: Final = 0.25
"""Seconds without accepting when the process is out of descriptors or memory: those who are
connected go on, and the backlog waits."""


class Acceptor:
    """Hands every connection of one listening socket to ``admit(socket, address)``, which owns it.

    Owns the listener: ``close`` closes it.
    """

    __slots__ = ("_a_turn", "_admit", "_listener", "_loop", "_retry")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        admit: Callable[[socket.socket, Any], None],
        *,
        a_turn: int,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._admit = admit
        self._a_turn = a_turn
        self._retry: asyncio.TimerHandle | None = None
        self._start()

    def close(self) -> None:
        """Accept no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    def _start(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(self._a_turn):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    logger.warning("cannot accept visitors for a moment: %s", error.strerror)
                    self._loop.remove_reader(self._listener.fileno())
                    self._retry = self._loop.call_later(_PAUSE, self._start)
                    return
                continue  # the visitor was gone before it was taken (ECONNABORTED and its kin)
            sock.setblocking(False)
            self._admit(sock, address)
