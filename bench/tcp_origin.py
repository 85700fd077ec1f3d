"""The TCP origin of the benchmarks: `python tcp_origin.py PORT`.

The first byte of a connection chooses: `E` echo, `D` + size sinks that many bytes and then says
`k`, `U` + size sends that many, `I` says `k` and then stays silent until the other side ends. A
size is eight bytes, big-endian. Threads wait in `accept`, so that a new connection costs no new
thread; the silent ones share one selector, so that they cost no thread at all.
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading

WORKERS = 96
BLOCK = 1 << 20
MSG_TRUNC = getattr(socket, "MSG_TRUNC", 0)


class Silent:
    """Connections that are open and idle."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, waker = socket.socketpair()
        self._waker = waker
        self._selector.register(self._wake, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def take(self, connection: socket.socket) -> None:
        self._selector.register(connection, selectors.EVENT_READ)
        self._waker.send(b"x")

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    is_open = bool(connection.recv(4096))
                except OSError:
                    is_open = False
                if not is_open:
                    self._selector.unregister(connection)
                    connection.close()


def serve(listener: socket.socket, silent: Silent) -> None:
    buffer = bytearray(BLOCK)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if converse(connection, buffer, silent):
                connection.close()
        except OSError:
            connection.close()


def converse(connection: socket.socket, buffer: bytearray, silent: Silent) -> bool:
    """One connection; whether it is ours to close."""
    mode = connection.recv(1)
    if mode == b"E":
        while size := connection.recv_into(buffer, 65536):
            connection.sendall(memoryview(buffer)[:size])
    elif mode == b"D":
        left = read_size(connection)
        while left > 0 and (size := connection.recv_into(buffer, 0, MSG_TRUNC)):
            left -= size
        connection.sendall(b"k")
        connection.recv(1)
    elif mode == b"U":
        left = read_size(connection)
        while left > 0:
            connection.sendall(memoryview(buffer)[: min(left, BLOCK)])
            left -= BLOCK
        connection.recv(1)
    elif mode == b"I":
        connection.sendall(b"k")
        silent.take(connection)
        return False
    return True


def read_size(connection: socket.socket) -> int:
    return int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(1024)
    silent = Silent()
    workers = [threading.Thread(target=serve, args=(listener, silent)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()


if __name__ == "__main__":
    main()
