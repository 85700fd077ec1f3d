"""The far host's part in a proof: it dials back whoever asks, and nobody else.

A tunnel address means something only inside the network, and dialled from its own machine it never
leaves it. So a neighbour is asked to come in from where visitors are: over the tunnel, to a port of
the one who asked, whose address WireGuard vouches for. It serves nobody as a proxy: the asker's own
address is the only one it dials.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from underpass.drivers.wireguard.place import Place

PORT: Final = 7837
GREETING: Final = b"underpass-witness/1 "
MAX_LINE: Final = 40
VISIT_SECONDS: Final = 20.0
"""A proof takes no longer."""
DIAL_SECONDS: Final = 4.0
MAX_VISITS: Final = 64
READ_BYTES: Final = 64 * 1024

DIALLED: Final = b"ok\n"
REFUSED: Final = b"no\n"


class Witness:
    """Serves neighbours at the tunnel address. ``close`` it in the end."""

    def __init__(self, place: Place, listener: socket.socket) -> None:
        self._place = place
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Serve."""
        self._server = await asyncio.start_server(
            self._accepted, sock=self._listener, limit=MAX_LINE
        )

    async def close(self) -> None:
        """Serve no more. Idempotent."""
        if self._server is not None:
            self._server.close()
        for task in list(self._visits):
            task.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._visits) >= MAX_VISITS:
            writer.transport.abort()
            return
        visit = self._visit(reader, writer)
        task = asyncio.get_running_loop().create_task(visit, name="underpass: witness")
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError, EOFError, TimeoutError, ValueError):
                async with asyncio.timeout(VISIT_SECONDS):
                    port = read_request(await reader.readuntil(b"\n"))
                    asker = str(writer.get_extra_info("peername")[0])
                    try:
                        inner, back = await self._dial(asker, port)
                    except (OSError, TimeoutError):
                        writer.write(REFUSED)
                        await writer.drain()
                        return
                    writer.write(DIALLED)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(_pump(reader, back))
                        group.create_task(_pump(inner, writer))
        except (ExceptionGroup, asyncio.LimitOverrunError):
            pass  # one side was reset, or it was nobody who speaks as we do
        finally:
            writer.transport.abort()
            if back is not None:
                back.transport.abort()

    async def _dial(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(DIAL_SECONDS):
            sock = await connect(self._place, host, port)
            return await asyncio.open_connection(sock=sock)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def read_request(line: bytes) -> int:
    """The port that is asked for. Raises ``ValueError``. Pure."""
    text = line.removeprefix(GREETING).removesuffix(b"\n")
    if not line.startswith(GREETING) or not text.isdigit() or not 0 < int(text[:6]) < 65_536:
        raise ValueError("it is no request for a witness")
    return int(text)


async def connect(place: Place, host: str, port: int) -> socket.socket:
    """A connection made in ``place``. Raises ``OSError``."""
    sock = place.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def dial_back(place: Place, witness: str, port: int) -> socket.socket:
    """Have the host at ``witness`` dial our own ``port``; what is returned is that connection.

    Raises ``OSError``: ``ConnectionRefusedError`` when it could not.
    """
    sock = await connect(place, witness, PORT)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(sock, GREETING + b"%d\n" % port)
        answer = b""
        while len(answer) < len(DIALLED):
            data = await loop.sock_recv(sock, len(DIALLED) - len(answer))
            if not data:
                break
            answer += data
        if answer != DIALLED:
            raise ConnectionRefusedError("the witness could not dial back")
    except BaseException:
        sock.close()
        raise
    return sock
