"""Many questions at once, and which of them are still without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from underpass.gatehouse.preflight.web import WebAsker

Put = Callable[[], Coroutine[None, None, None]]
"""Puts one question; may be called again."""


class Questions:
    """What one asker puts, and what of it has no answer yet."""

    def __init__(self, web: WebAsker, bases: tuple[str, ...]) -> None:
        self.web = web
        self.bases = bases
        self.left: list[tuple[str, Put]] = []

    def add(self, target: str, put: Put) -> None:
        """One more, about what is at ``target``."""
        self.left.append((target, put))

    async def put(self) -> None:
        """Put those that are left. Who breaks it off leaves what was not answered."""
        self.web.unanswered.clear()

        async def one(question: tuple[str, Put]) -> None:
            await question[1]()
            if question[0] not in self.web.unanswered:
                self.left.remove(question)

        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(tuple(self.left)):
                group.create_task(one(each), name=f"underpass: preflight {number}")
