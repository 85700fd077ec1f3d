"""One exchange with the measuring origin: it stands where the origin would, and notes what it sees.

Not metered, not recorded, not forwarded, like a proof. Parts are handed over one at a time, as an
origin's arrive, and no faster than the visitor takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from underpass.gatehouse.measuring.notes import Note, Notes, now
from underpass.gatehouse.measuring.questions import (
    Close,
    Send,
    Step,
    Task,
    Until,
    content_type,
    script,
    seconds,
)
from underpass.gatehouse.ports import Visitor
from underpass.http.messages import UNKNOWN_LENGTH, Headers, ResponseHead

A_TURN: Final = 32
"""Parts in one turn of the loop; an origin's answer comes in reads, and others have turns, too."""

MARK: Final = (b"Underpass-Measured", b"v1")
"""A field of the answer by which it is known, and seen to arrive."""


class MeasuringExchange:
    """Implements ``ports.Exchange``."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, visitor: Visitor, note: Note, notes: Notes
    ) -> None:
        self._loop = loop
        self._visitor = visitor
        self._note = note
        self._notes = notes
        self._steps: Iterator[Step] = iter(())
        self._pending: asyncio.Handle | None = None
        self._blocked = False

    def begin(self) -> None:
        """Answer, now or as soon as the request is complete."""
        self._note.abandon = self._abandon
        task = self._note.asked.task
        if task is Task.LATE:
            self._call_at(self._note.arrived + self._note.asked.us * 1000, self._answer)
        elif task is not Task.UP:
            self._answer()

    def _answer(self) -> None:
        asked = self._note.asked
        length = asked.size if asked.task is Task.DOWN and not asked.n else UNKNOWN_LENGTH
        headers = [
            (b"Content-Type", content_type(asked.task)),
            (b"Cache-Control", b"no-store"),
            (b"X-Accel-Buffering", b"no"),
            MARK,
        ]
        self._steps = script(asked, now)
        self._visitor.send_head(ResponseHead(200, b"OK", headers, length))
        self._go()

    def _go(self) -> None:
        self._pending = None
        note, visitor = self._note, self._visitor
        for _ in range(A_TURN):
            if note.over or self._blocked:
                return
            step = next(self._steps, Close.END)
            if isinstance(step, Send):
                note.sent += len(step.data)
                note.sent_digest.update(step.data)
                self._notes.spent(len(step.data))
                self._blocked = not visitor.send_data(step.data)
            elif isinstance(step, Until):
                self._call_at(step.ns, self._go)
                return
            elif step is Close.BREAK:
                self._end()
                visitor.abort("origin-broke")
                return
            else:
                self._end()
                visitor.send_end()
                return
        self._pending = self._loop.call_soon(self._go)

    def _call_at(self, ns: int, callback: Callable[[], None]) -> None:
        wait = max(0.0, seconds(ns - now()))
        self._pending = self._loop.call_later(wait, callback)

    def _end(self, *, left: bool = False) -> None:
        if not self._note.over:
            self._note.over, self._note.left = now(), left
            self._note.abandon = None
            self._note.ended.set()
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    # ports.Exchange

    def data_received(self, data: bytes | memoryview) -> None:
        self._note.received += len(data)
        self._note.digest.update(data)
        self._visitor.drained(len(data))

    def trailers_received(self, trailers: Headers) -> None:
        """No question has any."""

    def end_received(self) -> None:
        self._note.request_over = now()
        if self._note.asked.task is Task.UP and not self._note.over:
            self._answer()

    def visitor_left(self, code: str) -> None:
        if not self._note.over:
            self._end(left=True)
            self._visitor.abort(code)

    def _abandon(self) -> None:
        self.visitor_left("measurement-over")

    def answer_unwanted(self, code: str) -> None:
        self.visitor_left(code)

    def resume_writing(self) -> None:
        if self._blocked:
            self._blocked = False
            if self._pending is None and not self._note.over:
                self._go()
