"""One measurement of streams under way, told line by line to whoever asked for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.model.errors import UnderpassError
from underpass.prove.streaming.examination import Subject, examine
from underpass.prove.streaming.results import Parameters
from underpass.prove.streaming.run import Progress

STREAM_SCHEMA: Final = "underpass/v1/stream"

log = logging.getLogger(__name__)


class Measuring:
    """Implements ``api.control.Changes``. Begins with the first ``anext``; ``aclose`` ends it, and
    every connection of its."""

    def __init__(self, subject: Subject, asked: Parameters, key: Ed25519PrivateKey) -> None:
        self._subject = subject
        self._asked = asked
        self._key = key
        self._lines: asyncio.Queue[Mapping[str, object] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    def __aiter__(self) -> Measuring:
        return self

    async def __anext__(self) -> Mapping[str, object]:
        if self._task is None and not self._is_over:
            name = f"underpass: measure the streams of {self._subject.tunnel}"
            self._task = asyncio.create_task(self._run(), name=name)
        line = None if self._is_over else await self._lines.get()
        if line is None:
            self._is_over = True
            raise StopAsyncIteration
        return line

    async def aclose(self) -> None:
        """See ``Changes``."""
        self._is_over = True
        self._lines.put_nowait(None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            said = await examine(self._subject, self._asked, self._key, self._tell)
        except UnderpassError as error:
            told = {**error.to_dict(), "exit_code": error.exit_code}
            self._say("failed", error=told)
        except Exception:
            log.exception("a measurement of streams broke")
        else:
            self._say("certified", certificate=said)
        self._lines.put_nowait(None)

    def _tell(self, progress: Progress) -> None:
        self._say("progress", doing=progress.doing, step=progress.step, of=progress.of)

    def _say(self, event: str, **facts: object) -> None:
        self._lines.put_nowait(
            {"schema": STREAM_SCHEMA, "event": event, "tunnel": self._subject.tunnel, **facts}
        )
