"""Measuring how soon an end is told of the other's going, and how long silence is borne."""

from __future__ import annotations

import asyncio
from typing import Final

from underpass.gatehouse.measuring.notes import now
from underpass.gatehouse.measuring.questions import Task
from underpass.prove.streaming.delays import patient
from underpass.prove.streaming.event_reader import EventReader
from underpass.prove.streaming.numbers import spread
from underpass.prove.streaming.results import Cancellation, Silence
from underpass.prove.streaming.way import Interrupted, Talk, Way

TOLD_SECONDS: Final = 5.0
"""After so long an end counts as never told: five times what is allowed."""

LATE_SECONDS: Final = 10.0
"""How long after the silence its end is waited for."""

_HOLD_US: Final = 60_000_000
"""A stream in whose silence the visitor leaves."""

_BEFORE_BREAK_US: Final = 200_000

KINDS: Final = {
    "event-stream": Task.SILENT,
    "plain-answer": Task.BARE,
    "before-answer": Task.LATE,
}


async def measure_leaving(public: Way, tries: int) -> Cancellation:
    """The visitor leaves a silent stream: when is the origin told?"""
    delays: list[int] = []
    for _ in range(tries):
        async with public.talk(Task.SILENT, us=_HOLD_US) as talk:
            await _first_event(talk)
            note = public.notes.find(talk.asked)
            assert note is not None
            gone = talk.leave()
            try:
                async with asyncio.timeout(TOLD_SECONDS):
                    await note.ended.wait()
            except TimeoutError:
                continue
            if note.left:
                delays.append(note.over - gone)
    return Cancellation(tries, len(delays), spread(delays) if delays else None)


async def measure_breaking(public: Way, tries: int) -> Cancellation:
    """The origin breaks within an answer: when is the visitor told, and does it look whole?"""
    delays: list[int] = []
    whole = 0
    for _ in range(tries):
        async with public.talk(Task.BREAK, us=_BEFORE_BREAK_US) as talk:
            await _first_event(talk)
            note = public.notes.find(talk.asked)
            assert note is not None
            try:
                async with asyncio.timeout(TOLD_SECONDS + _BEFORE_BREAK_US / 1_000_000):
                    while not talk.is_complete:
                        await talk.part()
                whole += 1
            except Interrupted:
                delays.append(now() - note.over)
            except TimeoutError:
                pass
    return Cancellation(tries, len(delays), spread(delays) if delays else None, whole)


async def _first_event(talk: Talk) -> None:
    events = EventReader()
    while not events.size:
        _, data = await patient(talk.part)
        events.receive_data(data)
        if talk.is_complete:
            raise Interrupted("the answer was empty")


async def measure_silences(public: Way, ms: int) -> tuple[Silence, ...]:
    """Three kinds of silence at once, of ``ms`` each."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_silence(public, kind, ms), name=f"silence: {kind}") for kind in KINDS
        ]
    return tuple(task.result() for task in tasks)


async def _silence(way: Way, kind: str, ms: int) -> Silence:
    reader, events, last = EventReader(), 0, 0
    wanted = 1 if KINDS[kind] is Task.LATE else 2
    began, is_whole = now(), False
    try:
        async with way.talk(KINDS[kind], us=ms * 1000) as talk:
            began = last = talk.begun
            async with asyncio.timeout(ms / 1000 + LATE_SECONDS):
                while not talk.is_complete:
                    at, data = await talk.part()
                    events += len(reader.receive_data(data))
                    if data:
                        last = at
                    if events == 1 and wanted == 2 and began == talk.begun:
                        began = at
        is_whole = events == wanted
    except Interrupted:
        last = now()  # it was cut, just now
    except TimeoutError:
        pass  # the last sign of life is what it has survived
    survived = ms if is_whole else min(ms, max(0, last - began) // 1_000_000)
    return Silence(kind, ms, survived, reader.comments, is_whole)
