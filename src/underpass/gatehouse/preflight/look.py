"""One preflight: everything that is asked of one origin, within three seconds if it is quick.

Whether it can be reached is found first, by connecting alone. Answers are judged as they are at the
end of the time: an origin that does not answer is no danger yet, and says so by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from underpass.gatehouse.books import Books
from underpass.gatehouse.hangup import HangupWatch
from underpass.gatehouse.origin.dialler import OriginDialler
from underpass.gatehouse.origin.source import OriginSource
from underpass.gatehouse.preflight.ports import (
    ANSWER_SECONDS,
    GREETING_SECONDS,
    WEB_GREETING_SECONDS,
    ask_services,
    hear_greeting,
)
from underpass.gatehouse.preflight.questions import Questions
from underpass.gatehouse.preflight.tools import find_tools, find_tools_by_events
from underpass.gatehouse.preflight.web import Connect, WebAsker
from underpass.gatehouse.preflight.wire import PlainWire, TlsWire, Wire, WireRefused
from underpass.guard.preflight import tools
from underpass.guard.preflight.asks import FOLLOWING, WEB, Ask
from underpass.guard.preflight.claims import claim, finding_of_claim
from underpass.guard.preflight.findings import Finding
from underpass.guard.preflight.openness import Openness
from underpass.guard.preflight.seen import Seen
from underpass.guard.preflight.signs import judge
from underpass.guard.preflight.table import MONGODB_ON_HTTP, WEB_SIGNS
from underpass.http.messages import RequestHead
from underpass.model.origin import Kind, Origin

PREFLIGHT_SECONDS: Final = 3.0
"""For all of it, in which a person waits for a URL."""

LATE_SECONDS: Final = 8.0
"""More, for an origin that has answered some of it and not all: it is slow, or has just started."""

_PAGE: Final = WEB[0]
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at."""

    origin: Origin
    kind: Kind
    peer: str
    """As ``GatehouseSettings.peer``: applications judge by where one comes from."""
    openness: Openness
    permit: Callable[[str, int], bool] | None
    """As the gatehouse's."""
    admits: Callable[[RequestHead], bool]
    """Whether the gates let a stranger ask that."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of it."""

    findings: tuple[Finding, ...]
    asked: int
    """Requests sent."""
    seconds: float
    is_whole: bool
    """All answers came in time."""


class OriginAway(Exception):
    """Nobody listens there yet."""


async def look(subject: Subject, *, seconds: float = PREFLIGHT_SECONDS) -> Looked:
    """Look at an origin. Raises ``OriginAway`` when it takes no connection."""
    loop = asyncio.get_running_loop()
    started, is_whole = loop.time(), True
    async with _looking_at(subject) as looking:
        try:
            async with asyncio.timeout(seconds):
                await looking.connect()
                await looking.run()
        except TimeoutError:
            is_whole = False
            if not looking.is_reached:
                raise OriginAway from None
        if looking.left and looking.answers:
            with suppress(TimeoutError):
                async with asyncio.timeout(LATE_SECONDS):
                    await looking.wait_for_late()
            is_whole = True
        is_whole = is_whole and not looking.left
    return Looked(looking.judged(), looking.asked, loop.time() - started, is_whole)


async def ask_all(subject: Subject) -> tuple[Seen, ...]:
    """What an HTTP origin answers to every question, unjudged: to be written down."""
    async with _looking_at(subject) as looking:
        await looking.run()
        return tuple(looking.answers)


@asynccontextmanager
async def _looking_at(subject: Subject) -> AsyncIterator[_Looking]:
    loop = asyncio.get_running_loop()
    watch = HangupWatch(loop)
    source = OriginSource(loop.time) if subject.peer == "machine" else None
    dialler = OriginDialler(subject.origin, loop, Books(), watch, subject.permit, source)
    try:
        yield _Looking(subject, dialler)
    finally:
        dialler.close()
        await dialler.wait_closed()
        watch.close()


class _Looking:
    def __init__(self, subject: Subject, dialler: OriginDialler) -> None:
        self._subject = subject
        self._dialler = dialler
        self.answers: list[Seen] = []
        self._found: list[Finding] = []
        self._askers: list[WebAsker] = []
        self._asked: list[Questions] = []
        self._where = f"connect {subject.origin.address}"
        self._speaks_first = False
        self.is_reached = False

    @property
    def asked(self) -> int:
        return sum(asker.asked for asker in self._askers)

    @property
    def left(self) -> bool:
        """Whether anything that was asked has no answer yet."""
        return any(each.left for each in self._asked)

    async def wait_for_late(self) -> None:
        """Put what was not answered once more, and wait for longer."""
        for questions in self._asked:
            questions.web.patience = LATE_SECONDS
            await self._put(questions)

    def judged(self) -> tuple[Finding, ...]:
        """Everything found so far, each code once."""
        every = (*judge(self.answers, WEB_SIGNS), *self._found)
        every = (*finding_of_claim(every), *every)
        return tuple({each.code: each for each in reversed(every)}.values())[::-1]

    async def connect(self) -> None:
        """Connect, and hear what is said unasked. Raises ``OriginAway``.

        The very first connection is listened to: a debugger introduces itself to the first alone.
        """
        try:
            wire = await self._plain()
        except WireRefused:
            raise OriginAway from None
        self.is_reached = True
        is_tcp = self._subject.kind is Kind.TCP
        seconds = GREETING_SECONDS if is_tcp else WEB_GREETING_SECONDS
        said, finding = await hear_greeting(wire, self._where, seconds)
        self._speaks_first = bool(said)
        if finding is not None:
            self._found.append(finding)

    async def run(self) -> None:
        """Ask what is to be asked of whatever waits to be asked."""
        if self._speaks_first:
            return
        if self._subject.kind is Kind.TCP:
            self._found += await ask_services(self._plain, self._where)
            if not self._found:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._look_at_web(self._plain), name="underpass: plain")
                    group.create_task(self._look_at_web_by_tls(), name="underpass: in TLS")
            return
        await self._look_at_web(self._plain)
        spoke = any(seen.status for seen in self.answers)
        if not spoke or any(MONGODB_ON_HTTP in seen.body for seen in self.answers):
            self._found += await ask_services(self._plain, self._where)

    async def _look_at_web_by_tls(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                wire = await self._secure()
        except (WireRefused, TimeoutError):
            return
        wire.close()
        await self._look_at_web(self._secure)

    async def _look_at_web(self, connect: Connect) -> None:
        subject = self._subject
        claimed = claim(secrets.token_urlsafe(24)) if subject.openness.any_token else None
        web = WebAsker(connect, subject.origin, subject.kind, subject.admits, claim=claimed)
        self._askers.append(web)
        openness = subject.openness
        bases = ("",) if openness.bytes else openness.bases
        questions = Questions(web, bases)
        self._asked.append(questions)
        for base in bases:
            for ask in WEB:
                questions.add(base + ask.target, partial(self._ask, web, ask, base))
        for path in openness.paths:
            questions.add(path, partial(self._ask, web, replace(_PAGE, target=path), ""))
        declared = subject.origin.path if subject.kind is Kind.MCP else ""
        for path, is_declared in _mcp_paths(declared, bases, openness.paths).items():
            asks = partial(find_tools, web, path, is_declared=is_declared)
            questions.add(path, partial(self._note, asks))
        events = [base + path for base in bases for path in tools.EVENTS_PATHS]
        for path in dict.fromkeys(filter(None, (declared, *openness.paths, *events))):
            asks = partial(find_tools_by_events, web, connect, path)
            questions.add(path, partial(self._note, asks))
        await self._put(questions)

    async def _put(self, questions: Questions) -> None:
        await questions.put()
        await self._ask_following(questions.web, questions.bases)

    async def _ask(self, web: WebAsker, ask: Ask, base: str) -> None:
        seen = await web.ask(ask, base)
        if seen is None:
            return
        self.answers.append(seen)
        if ask is _PAGE and seen.status in _REDIRECTS:
            target = _path_in(seen.header("location").decode("latin-1"), base + "/")
            if target:
                again = await web.ask(replace(ask, target=target))
                if again is not None:
                    self.answers.append(again)

    async def _ask_following(self, web: WebAsker, bases: tuple[str, ...]) -> None:
        for following in FOLLOWING:
            for seen in tuple(self.answers):
                if seen.name == following.after and following.holds in seen.body:
                    base = seen.where.removeprefix("GET ").removesuffix("/version")
                    await self._ask(web, following.ask, base if base in bases else "")

    async def _note(self, asks: Callable[[], Coroutine[None, None, Finding | None]]) -> None:
        found = await asks()
        if found is not None:
            self._found.append(found)

    async def _plain(self) -> Wire:
        return await PlainWire(self._dialler).open()

    async def _secure(self) -> Wire:
        return await TlsWire(await PlainWire(self._dialler).open()).start()


def _mcp_paths(declared: str, bases: tuple[str, ...], paths: tuple[str, ...]) -> dict[str, bool]:
    """Where to ask for tools, and whether one may expect a server there."""
    found = {path: path.rstrip("/").endswith("/mcp") for path in paths}
    for base in bases:
        for path in tools.PATHS:
            found.setdefault(base + path, path == "/mcp")
    if declared:
        found[declared] = True
    return found


def _path_in(location: str, page: str) -> str:
    """Where a redirect leads on the same origin; "" when it leads elsewhere, or nowhere new."""
    path = location.partition("#")[0]
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    elif path.startswith("./"):
        path = page + path[2:]
    if not path.startswith("/") or path.startswith("//") or path == page:
        return ""
    return path if path.isascii() and path.isprintable() and " " not in path else ""
