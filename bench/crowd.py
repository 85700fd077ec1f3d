"""Many visitors that load a whole body at once: some read in a thread, some never read."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from contextlib import ExitStack
from types import TracebackType

from bench.origins import BULK_PATH
from bench.visitor import Door, connect

GATHERING = 60.0
"""Seconds for all visitors to get in: some tunnels let one slow reader hold up everybody."""


class Crowd:
    """`size` visitors of one door, each asking for the bulk body; a context manager.

    With `is_reading` a thread takes what comes and throws it away; otherwise what comes stays in
    the buffers of the path.
    """

    def __init__(self, door: Door, size: int, *, is_reading: bool) -> None:
        self.door = door
        self.size = size
        self.is_reading = is_reading
        self.received = 0
        """Bytes taken so far by all together."""

    @property
    def is_alive(self) -> bool:
        """Whether anybody is still loading."""
        return bool(self._selector.get_map())

    def __enter__(self) -> Crowd:
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._sockets = ExitStack()
        self._thread = threading.Thread(target=self._read, name="crowd")
        if self.is_reading:
            self._thread.start()
        deadline = time.monotonic() + GATHERING
        try:
            for number in range(self.size):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{number} visitors were let in within {GATHERING:g} s")
                visitor = connect(self.door)
                self._sockets.callback(visitor.close)
                if not self.is_reading:
                    # Small: what a slow reader does not take has to wait in the tunnel.
                    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                visitor.sendall(self.door.request(BULK_PATH))
                if self.is_reading:
                    visitor.setblocking(False)
                    self._selector.register(visitor, selectors.EVENT_READ)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._selector.close()
        self._sockets.close()

    def _read(self) -> None:
        buffer = bytearray(1 << 20)
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.05):
                visitor = key.fileobj
                assert isinstance(visitor, socket.socket)
                if not self._take(visitor, buffer):
                    self._selector.unregister(visitor)

    def _take(self, visitor: socket.socket, buffer: bytearray) -> bool:
        """Reads until nothing is there, also inside the TLS layer; False at the end."""
        try:
            while received := visitor.recv_into(buffer):
                self.received += received
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False
