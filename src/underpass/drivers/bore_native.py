"""A bore client of our own, for machines without the program: run as one, it says the same.

    BORE_SECRET=… python -m underpass.drivers.bore_native DOOR_PORT HOST PUBLIC_PORT

Unlike the program it never ends with success, and it notices a server that falls silent: one that
lives sends something every half second.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Final, cast

from underpass.drivers.bore_protocol import (
    CONTROL_PORT,
    BoreFailure,
    Control,
    Handshake,
    Listening,
)

PATIENCE: Final = 3.0
"""For a connection and for the server's first words, as in bore."""

SILENCE: Final = 5.0
"""Ten heartbeats that did not come."""

WRITE_BYTES: Final = 256 * 1024
MAX_VISITS: Final = 1_024


class BoreClient:
    """One tunnel: ``run`` it until it fails."""

    def __init__(
        self,
        door: tuple[str, int],
        host: str,
        port: int,
        secret: str,
        say: Callable[[str], None],
        *,
        silence: float = SILENCE,
    ) -> None:
        """``door`` is where visitors are taken; ``say`` gets the lines that bore would print."""
        self._door = door
        self._host = host
        self._port = port
        self._secret = secret
        self._say = say
        self._silence = silence
        self._visits: set[asyncio.Task[None]] = set()
        self._sides: set[Side] = set()

    async def run(self) -> None:
        """Carry visitors. Always ends with ``BoreFailure``, or when cancelled."""
        control = Control(self._port, self._secret)
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(self._host, CONTROL_PORT)
        except (OSError, TimeoutError) as error:
            raise BoreFailure(f"could not connect to {self._host}:{CONTROL_PORT}") from error
        try:
            writer.write(control.begin())
            await self._attend(control, reader, writer)
        except OSError as error:
            raise BoreFailure("unexpected EOF") from error
        finally:
            writer.transport.abort()
            for task in list(self._visits):
                task.cancel()
            await asyncio.gather(*self._visits, return_exceptions=True)
            for side in list(self._sides):
                side.abort()

    async def _attend(
        self, control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._silence if control.is_listening else PATIENCE):
                    data = await reader.read(65_536)
            except TimeoutError:
                words = "heartbeat" if control.is_listening else "initial message"
                raise BoreFailure(f"timed out waiting for {words}") from None
            if not data:
                raise BoreFailure("unexpected EOF")
            events, answer = control.receive_data(data)
            writer.write(answer)
            for event in events:
                if isinstance(event, Listening):
                    self._say(f" bore_cli::client: listening at {self._host}:{event.port}")
                elif len(self._visits) + len(self._sides) < MAX_VISITS:
                    task = asyncio.create_task(self._visit(event.id), name="bore: a visitor")
                    self._visits.add(task)
                    task.add_done_callback(self._visits.discard)

    async def _visit(self, name: str) -> None:
        """Join a visitor's connection to the door. What fails is the visitor's loss alone."""
        loop, far, near = asyncio.get_running_loop(), Side(self._sides), Side(self._sides)
        far.handshake = Handshake({"Accept": name}, self._secret)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                await loop.create_connection(lambda: far, self._host, CONTROL_PORT)
                await far.opened
                await loop.create_connection(lambda: near, *self._door)
        except (OSError, TimeoutError, BoreFailure):
            far.abort()
            near.abort()
        else:
            near.join(far)
            far.join(near)


class Side(asyncio.Protocol):
    """One end of a visitor's connection; bytes wait in it until it is joined to the other."""

    def __init__(self, sides: set[Side]) -> None:
        self.handshake: Handshake | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sides = sides
        self._transport: asyncio.Transport | None = None
        self._other: Side | None = None
        self._early = bytearray()
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._sides.add(self)
        if self.handshake is None:
            self.opened.set_result(None)
        else:
            self._transport.write(self.handshake.begin())
            self._look_at(self.handshake)

    def data_received(self, data: bytes) -> None:
        if self.handshake is not None and not self.handshake.is_over:
            try:
                self._write(self.handshake.receive_data(data))
            except BoreFailure:
                self.abort()
                return
            data = self.handshake.take_rest() if self.handshake.is_over else b""
            self._look_at(self.handshake)
        if self._other is not None:
            self._other._write(data)
        elif data:
            self._early += data
            if self._transport is not None:
                self._transport.pause_reading()

    def join(self, other: Side) -> None:
        """From now on what comes here goes out there."""
        if self._transport is None:
            other.abort()
            return
        self._other = other
        if not self._transport.is_closing():
            self._transport.resume_reading()
        other._write(bytes(self._early))  # which may pause the reading again
        self._early.clear()
        if self._has_ended:
            other._end()

    def eof_received(self) -> bool:
        self._has_ended = True
        if self._other is not None:
            self._other._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._sides.discard(self)
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError())
        if self._other is not None:
            if exc is None and self._has_ended:
                self._other._close()
            else:
                self._other.abort()

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        other = self._other
        if other is not None and other._transport is not None and not other._transport.is_closing():
            other._transport.resume_reading()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _look_at(self, handshake: Handshake) -> None:
        if handshake.is_over and not self.opened.done():
            self.opened.set_result(None)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _end(self) -> None:
        """The other side has said all; when this one has, too, both are done."""
        if self._transport is None:
            return
        if self._has_ended:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def main() -> None:
    """Run until it fails, in the words and with the exit code of bore."""
    door, host, port = sys.argv[1:4]

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    secret = os.environ.get("BORE_SECRET", "")
    try:
        asyncio.run(BoreClient(("127.0.0.1", int(door)), host, int(port), secret, say).run())
    except BoreFailure as failure:
        sys.exit(f"Error: {failure}")


if __name__ == "__main__":
    main()
