"""A TCP proxy that behaves like a bad network, for tests of what stands on both of its sides.

Put it between two parties and change the weather while they talk::

    async with FaultProxy("127.0.0.1", origin_port) as proxy:
        proxy.set_latency(0.040)                # each way; a delay line, not a throttle
        proxy.limit_bandwidth(125_000)          # 1 Mbit/s, shared by all connections
        proxy.black_hole(Direction.UP)          # nothing arrives there until heal()
        proxy.cut_after(1000, Direction.DOWN)   # exactly 1000 bytes more, then a reset

What it cannot do, because the kernel answers for it: lose a SYN (a connect always succeeds while
the proxy listens) and lose packets. For those use `underpass.testing.network`.
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from underpass.testing.delay_line import Path
from underpass.testing.proxied_connection import ProxiedConnection


class Direction(enum.Enum):
    """Which way bytes go through the proxy."""

    UP = "client to upstream"
    DOWN = "upstream to client"


class Side(enum.Enum):
    """One of the two parties."""

    CLIENT = "client"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class FaultProxyStatistics:
    """Numbers of one proxy since it started."""

    accepted: int
    """Connections that clients have opened."""
    open: int
    """Connections of which at least one side still stands."""
    bytes_up: int
    """Bytes that have arrived upstream."""
    bytes_down: int
    """Bytes that have arrived at clients."""


class FaultProxy:
    """A proxy from its own port to `host`:`port`, transparent until told otherwise.

    Use as an async context manager; leaving it closes everything. All methods may be called at any
    time from the event loop, take effect at once and are idempotent. A method that takes
    `direction` means both directions when none is given.
    """

    def __init__(
        self, host: str, port: int, *, listen_host: str = "127.0.0.1", listen_port: int = 0
    ) -> None:
        self.upstream = (host, port)
        self.host = listen_host
        """Where clients connect to."""
        self.port = listen_port
        """Set when the proxy has started, the same until it ends."""
        self.paths = {Direction.UP: Path(), Direction.DOWN: Path()}
        self.frozen = False
        self.connections: set[ProxiedConnection] = set()
        self.passable = asyncio.Event()
        """Set while a connect can get through."""
        self.passable.set()
        self._progress = asyncio.Event()
        self._accepted = 0
        self._dials: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None

    # Conditions

    def set_latency(self, seconds: float, direction: Direction | None = None) -> None:
        """Delays what is sent from now on by `seconds`.

        New connections pay for their handshake: what the client sends first leaves when the
        answer to its SYN would have come.
        """
        for path in self._paths(direction):
            path.latency = seconds

    def limit_bandwidth(
        self, bytes_per_second: float | None, direction: Direction | None = None
    ) -> None:
        """Limits all connections together; None takes the limit away."""
        for path in self._paths(direction):
            path.bandwidth = bytes_per_second
        self._pump()

    def slice_writes(self, size: int | None = 1, direction: Direction | None = None) -> None:
        """Delivers in writes of at most `size` bytes, one a turn of the loop; None ends it."""
        for path in self._paths(direction):
            path.slice = size

    def cut_after(self, size: int | None, direction: Direction) -> None:
        """Lets exactly `size` more bytes arrive in `direction`, then resets the connection.

        The count goes over all connections and ends with the cut; None takes it back.
        """
        self.paths[direction].cut_after = size

    def black_hole(self, direction: Direction | None = None) -> None:
        """Lets nothing arrive, no end and no reset either, and no new connection, until `heal`.

        Both parties keep their connection and hear nothing, as behind a dead router.
        """
        for path in self._paths(direction):
            path.black_hole = True
        self._weather_changed()

    def heal(self, direction: Direction | None = None) -> None:
        """Ends black holes. What was sent meanwhile arrives now, as TCP would send it again."""
        for path in self._paths(direction):
            path.black_hole = False
        self._weather_changed()

    def freeze(self) -> None:
        """Stops reading and writing as a stopped process does: peers fill the kernel's buffers."""
        self.frozen = True
        self._weather_changed()

    def thaw(self) -> None:
        """Ends `freeze`."""
        self.frozen = False
        self._weather_changed()

    # Acts

    def reset(self) -> int:
        """Resets both sides of every connection (RST); the number of connections."""
        return self._sever(Side.CLIENT, Side.UPSTREAM)

    def half_open(self, cut: Side = Side.CLIENT) -> int:
        """Resets one side of every connection and keeps the other open and silent.

        The kept side is what a relay holds after its client vanished: a ghost. It stays until its
        owner closes it or the proxy ends. Returns the number of connections.
        """
        return self._sever(cut)

    def refuse_new(self) -> None:
        """Refuses new connections from now on; those that stand are left alone."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def accept_new(self) -> None:
        """Accepts connections (again), on the same port."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept, self.host, self.port
            )

    async def wait_passed(self, size: int, direction: Direction) -> None:
        """Waits until `size` bytes have arrived in `direction` since the start."""
        while self.paths[direction].passed < size:
            self._progress.clear()
            await self._progress.wait()

    async def close(self) -> None:
        """Resets all connections and gives the port back. Idempotent; also done on leaving."""
        self.refuse_new()
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        closing = [connection.finished for connection in self.connections]
        self.reset()
        await asyncio.gather(*(finished.wait() for finished in closing))
        if self._reserved is not None:
            self._reserved.close()

    def statistics(self) -> FaultProxyStatistics:
        return FaultProxyStatistics(
            accepted=self._accepted,
            open=len(self.connections),
            bytes_up=self.paths[Direction.UP].passed,
            bytes_down=self.paths[Direction.DOWN].passed,
        )

    async def __aenter__(self) -> FaultProxy:
        # Bound but not listening: keeps the port ours while new connections are refused.
        self._reserved = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((self.host, self.port))
        self.port = self._reserved.getsockname()[1]
        try:
            await self.accept_new()
        except OSError:
            self._reserved.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _accept(self) -> asyncio.Protocol:
        self._accepted += 1
        connection = ProxiedConnection(
            up=self.paths[Direction.UP],
            down=self.paths[Direction.DOWN],
            is_frozen=lambda: self.frozen,
            on_passed=self._progress.set,
        )
        self.connections.add(connection)
        connection.on_finished = self.connections.discard
        dial = asyncio.create_task(self._dial(connection), name="fault proxy: dial upstream")
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)
        return connection.client

    async def _dial(self, connection: ProxiedConnection) -> None:
        await self.passable.wait()
        if latency := self.paths[Direction.UP].latency:
            await asyncio.sleep(latency)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection.upstream, *self.upstream
            )
        except OSError:
            connection.sever(connection.client)

    def _sever(self, *sides: Side) -> int:
        connections = list(self.connections)
        for connection in connections:
            for side in sides:
                connection.sever(connection.client if side is Side.CLIENT else connection.upstream)
        return len(connections)

    def _paths(self, direction: Direction | None) -> Iterable[Path]:
        return self.paths.values() if direction is None else (self.paths[direction],)

    def _weather_changed(self) -> None:
        if self.frozen or any(path.black_hole for path in self.paths.values()):
            self.passable.clear()
        else:
            self.passable.set()
        self._pump()

    def _pump(self) -> None:
        for connection in list(self.connections):
            connection.pump()
