"""An origin whose event streams say what the test tells them to, when it tells them."""

from __future__ import annotations

import asyncio

from underpass.testing.origins.server import Origin

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(number: int) -> bytes:
    """The numbered event, each of another length."""
    return b"id: %d\ndata: %s\n\n" % (number, b"x" * (number * 7 % 200))


class ToldStream:
    """One event stream that a visitor has asked for."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.sent = 0
        self.departed = asyncio.Event()
        """Set when the visitor has gone."""

    async def say(self, count: int) -> None:
        """Send so many more events."""
        for number in range(self.sent, self.sent + count):
            data = event(number)
            self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self._writer.drain()
        self.sent += count

    def end(self) -> None:
        """End the answer properly."""
        self._writer.write(b"0\r\n\r\n")


class ToldOrigin(Origin):
    """Answers `/sse` with a stream in the test's hands; anything else with `ok`."""

    scheme = "http"

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.streams: asyncio.Queue[ToldStream] = asyncio.Queue()
        self.targets: list[str] = []
        """The target of every request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.strip():
                continue  # RFC 9112, section 2.2: empty lines before a request are skipped
            target = head.split(b" ", 2)[1].decode()
            self.targets.append(target)
            if target != "/sse":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                continue
            stream = ToldStream(writer)
            writer.write(HEAD)
            self.streams.put_nowait(stream)
            try:
                await reader.read(1)
            finally:
                stream.departed.set()
            return
