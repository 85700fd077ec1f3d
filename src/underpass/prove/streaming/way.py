"""One way to the measuring origin, and one exchange on it: everything stamped as it is met.

Every exchange comes on a connection of its own through the whole door, as a visitor from far
outside does; connecting is not part of what is measured.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from underpass.gatehouse.measuring.notes import Notes, now
from underpass.gatehouse.measuring.questions import Question, Task
from underpass.gatehouse.proof import NONCE_BYTES, PROOF_HEADER, make_request
from underpass.http.body import Buffers
from underpass.http.messages import (
    UNKNOWN_LENGTH,
    EndOfMessage,
    Headers,
    Malformed,
    RequestHead,
    ResponseHead,
    lookup,
)
from underpass.http.reader import ResponseReader
from underpass.http.writer import request_bytes, request_framing
from underpass.prove.door import Door, DoorShut, Layers, Visit
from underpass.prove.probes import Identity

ENTER_SECONDS: Final = 10.0
READ_BYTES: Final = 64 * 1024
WRITE_BYTES: Final = 64 * 1024

PLAIN: Final[Headers] = [(b"Accept-Encoding", b"identity")]


class Interrupted(Exception):
    """The way did not carry an exchange to its end. Never leaves this package."""


class Talk:
    """One exchange, begun."""

    def __init__(self, visit: Visit, asked: Question, begun: int) -> None:
        self.asked = asked
        self.begun = begun
        """When the request was handed over."""
        self.head: ResponseHead | None = None
        self.is_complete = False
        self._visit = visit
        self._reader = ResponseReader(b"POST" if asked.task is Task.UP else b"GET")
        self._waiting: deque[bytes] = deque()

    async def part(self) -> tuple[int, bytes]:
        """The next bytes of the answer and when they came; b"" when the head came, or the end.

        Raises ``Interrupted`` when the answer broke off, and for one that is not the measuring
        origin's.
        """
        try:
            data = await self._visit.reader.read(READ_BYTES)
        except (OSError, EOFError):
            raise Interrupted("the connection broke") from None
        at, body = now(), []
        for event in self._reader.receive_data(data) if data else self._reader.receive_eof():
            if isinstance(event, ResponseHead):
                self._take_head(event)
            elif isinstance(event, EndOfMessage):
                self.is_complete = True
            elif isinstance(event, Malformed):
                raise Interrupted("the answer broke off")
            else:
                body.append(event)
        return at, b"".join(body)

    def leave(self) -> int:
        """Go without a word; when that was."""
        at = now()
        self._visit.close()
        return at

    def _take_head(self, head: ResponseHead) -> None:
        if head.status < 200:
            return
        self.head = head
        if lookup(head.headers, b"underpass-measured") is None:
            said = lookup(head.headers, b"underpass-error") or b"another server answered"
            raise Interrupted(f"status {head.status}: {said.decode('ascii', 'replace')}")

    async def send(self, parts: Iterable[bytes], head: RequestHead) -> None:
        """The request's body, as fast as it is taken."""
        framing, writer = request_framing(head), self._visit.writer
        try:
            for part in parts:
                _write(writer, framing.data(part))
                if writer.transport.get_write_buffer_size() > WRITE_BYTES:
                    await writer.drain()
            _write(writer, framing.end())
            await writer.drain()
        except OSError:
            raise Interrupted("the connection broke") from None


class Way:
    """A way: the public one, or the straight one beside it."""

    def __init__(
        self,
        door: Door,
        identity: Identity,
        notes: Notes,
        *,
        fields: Callable[[], Headers] = list,
        unix: Callable[[], float] = time.time,
    ) -> None:
        """``fields`` is what everybody shows to a vendor's gate outside ours."""
        self.notes = notes
        self._door = door
        self._identity = identity
        self._fields = fields
        self._unix = unix

    @asynccontextmanager
    async def talk(
        self,
        task: Task,
        *,
        n: int = 0,
        us: int = 0,
        size: int = 0,
        parts: Iterable[bytes] = (),
        fields: Headers = PLAIN,
    ) -> AsyncIterator[Talk]:
        """Ask the measuring origin. Raises ``Interrupted``; the connection ends with the
        context."""
        asked = Question(task, self.notes.next_key(), n, us, size)
        visit = await self._enter()
        try:
            head = self._head(asked, fields)
            talk = Talk(visit, asked, now())
            visit.writer.write(request_bytes(head))
            if task is Task.UP:
                await talk.send(parts, head)
            yield talk
        finally:
            visit.close()
            self.notes.forget(asked)

    def _head(self, asked: Question, fields: Headers) -> RequestHead:
        identity, is_up = self._identity, asked.task is Task.UP
        value = make_request(
            identity.key,
            identity.name,
            nonce=secrets.token_bytes(NONCE_BYTES),
            now=self._unix(),
            measure=str(asked),
        )
        accept = b"*/*" if is_up else b"text/event-stream, */*"
        length = 0
        if is_up:
            length = UNKNOWN_LENGTH if asked.n else asked.size
        headers = [
            (b"User-Agent", b"underpass-prover"),
            (b"Accept", accept),
            *fields,
            *self._fields(),
            (PROOF_HEADER, value),
        ]
        host = self._door.address.authority.encode("ascii")
        return RequestHead(b"POST" if is_up else b"GET", b"/", host, headers, length)

    async def _enter(self) -> Visit:
        passed: Layers = {}
        try:
            async with asyncio.timeout(ENTER_SECONDS):
                return await self._door.enter(await self._door.look_up(passed), passed)
        except DoorShut as shut:
            raise Interrupted(f"the public door did not open ({shut})") from None
        except TimeoutError:
            raise Interrupted("the public door did not open in time") from None


def _write(writer: asyncio.StreamWriter, buffers: Buffers) -> None:
    if buffers:
        writer.write(buffers[0] if len(buffers) == 1 else b"".join(buffers))
