"""A visitor with a plain blocking socket: nothing between the measurement and the kernel."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass, replace

TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where visitors of one tunnel go in, and what they have to say."""

    host: str
    port: int
    name: str = ""
    """The Host header and the name for TLS; empty is the address."""
    headers: tuple[str, ...] = ()
    """Further header lines of every HTTP request."""
    tls: ssl.SSLContext | None = None
    public_port: int | None = None
    """The port that visitors name, if something else stands in front of it."""

    @property
    def authority(self) -> str:
        return f"{self.name or self.host}:{self.public_port or self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}/1k"

    def request(self, path: str = "/1k") -> bytes:
        """One GET; of 1 KiB unless another path is given."""
        lines = (f"GET {path} HTTP/1.1", f"Host: {self.authority}", *self.headers)
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()

    def at(self, host: str, port: int) -> Door:
        """The same door with something in front of it."""
        return replace(self, host=host, port=port, public_port=self.public_port or self.port)


def connect(door: Door, timeout: float = TIMEOUT) -> socket.socket:
    """A connection through the door, with TLS if the door has it."""
    connection = socket.create_connection((door.host, door.port), timeout)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if door.tls is not None:
            return door.tls.wrap_socket(connection, server_hostname=door.name)
    except BaseException:
        connection.close()
        raise
    return connection


def is_served(door: Door, kind: str, timeout: float = 1.0) -> bool:
    """Whether a visitor gets through to the origin and back right now."""
    try:
        with connect(door, timeout) as connection:
            if kind == "tcp":
                connection.sendall(b"E?")
                return connection.recv(1) == b"?"
            connection.sendall(door.request())
            return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def small_requests(door: Door, seconds: float) -> list[float]:
    """Seconds that each of the requests took that one visitor made in so many seconds."""
    taken: list[float] = []
    with connect(door) as connection:
        deadline = time.perf_counter() + seconds
        while (start := time.perf_counter()) < deadline:
            _answered(connection, door, start)
            taken.append(time.perf_counter() - start)
    return taken


def first_byte(door: Door) -> tuple[float, float]:
    """Seconds to the first byte of an answer, on a new connection and again on the same one."""
    start = time.perf_counter()
    with connect(door) as connection:
        fresh = _answered(connection, door, start)
        kept = _answered(connection, door, time.perf_counter())
    return fresh, kept


def _answered(connection: socket.socket, door: Door, start: float) -> float:
    connection.sendall(door.request())
    received = connection.recv(65536)
    taken = time.perf_counter() - start
    if not received.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"answered {received[:60]!r}")
    _, _, body = received.partition(b"\r\n\r\n")
    left = 1024 - len(body)
    while left > 0:
        received = connection.recv(65536)
        if not received:
            raise OSError("the answer broke off")
        left -= len(received)
    return taken
