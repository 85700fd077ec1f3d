"""Asking an HTTP origin what a stranger from elsewhere may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from underpass.gatehouse.delivery import ELSEWHERE
from underpass.gatehouse.preflight.wire import Wire, WireRefused
from underpass.gatehouse.rewrite import base_path, origin_host, rewrite
from underpass.guard.preflight.asks import Ask
from underpass.guard.preflight.claims import HOW
from underpass.guard.preflight.seen import MOST_BYTES, Seen
from underpass.http.messages import EndOfMessage, Headers, Malformed, RequestHead, ResponseHead
from underpass.http.reader import ResponseReader
from underpass.model.origin import Kind, Origin

ASK_SECONDS: Final = 1.5
"""For one answer: half of what all of them have. What has come of it by then is judged."""

MOST_ASKS: Final = 160
"""Requests in one preflight, whatever the rules name."""

Connect = Callable[[], Awaitable[Wire]]


class WebAsker:
    """Sends requests, each on a connection of its own, at most some at a time."""

    def __init__(
        self,
        connect: Connect,
        origin: Origin,
        kind: Kind,
        admits: Callable[[RequestHead], bool],
        *,
        claim: Headers | None = None,
        at_once: int = 8,
    ) -> None:
        """``admits`` says whether the gates let a stranger ask that; nothing else is sent. What
        they let pass with ``claim`` alone, a made-up token, is asked with it."""
        self._connect = connect
        self._host = origin_host(origin)
        self._base = base_path(origin, kind)
        self._admits = admits
        self._claim = claim
        self._claimed: set[tuple[str, str]] = set()
        self._turns = asyncio.Semaphore(at_once)
        self.patience = ASK_SECONDS
        """For one answer."""
        self.asked = 0
        """Requests sent so far."""
        self.unanswered: set[str] = set()
        """Where a question was put to which nothing came in time."""

    async def ask(self, ask: Ask, base: str = "") -> Seen | None:
        """What ``ask`` is answered below ``base``; None: no answer, or no stranger may ask."""
        target = base + ask.target
        where = f"{ask.method} {target}"
        sent = await self.send(ask.method, target, ask.fields, ask.body)
        how = self.how(ask.method, target)
        return None if sent is None else Seen(ask.name, where, *sent, how)

    def how(self, method: str, target: str) -> str:
        """In what guise that was asked, as findings say it."""
        return HOW if (method, target) in self._claimed else ""

    async def send(
        self,
        method: str,
        target: str,
        fields: Headers,
        body: bytes = b"",
        *,
        until: Callable[[bytes], bool] = lambda data: False,
    ) -> tuple[int, Headers, bytes] | None:
        """Status, fields and beginning of the body, which is read no further once ``until`` says
        of it that it will do. Status 0: what came is no HTTP."""
        request = self.request(method, target, fields, len(body))
        if request is None:
            return None
        async with self._turns:
            self.asked += 1
            try:
                async with asyncio.timeout(self.patience):
                    wire = await self._connect()
            except (WireRefused, TimeoutError):
                return None
            try:
                wire.write(request + body)
                return await _answer(wire, method.encode("ascii"), until, self.patience)
            except TimeoutError:
                self.unanswered.add(target)
                return None
            finally:
                wire.close()

    def request(self, method: str, target: str, fields: Headers, length: int) -> bytes | None:
        """The head as a stranger's would come; None: the gates do not let it pass, or enough was
        asked."""
        if self.asked >= MOST_ASKS:
            return None

        def with_fields(fields: Headers) -> RequestHead:
            verb, path = method.encode("ascii"), target.encode("ascii")
            return RequestHead(verb, path, self._host, fields, length)

        head = with_fields(fields)
        if not self._admits(head):
            head = with_fields([*fields, *(self._claim or ())])
            if not self._claim or not self._admits(head):
                return None
            self._claimed.add((method, target))
        return rewrite(
            head,
            host=self._host,
            target=self._base + head.target,
            strip=(),
            origin_field=None,
            address=ELSEWHERE.address,
            secure=True,
        )


async def _answer(
    wire: Wire, method: bytes, until: Callable[[bytes], bool], seconds: float
) -> tuple[int, Headers, bytes] | None:
    """Raises ``TimeoutError`` when nothing at all has come."""
    parser = ResponseReader(method)
    head: ResponseHead | None = None
    raw, body = bytearray(), bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(body) < MOST_BYTES and not until(bytes(body)):
                data = await wire.read()
                raw += data[: MOST_BYTES - len(raw)]
                for event in parser.receive_data(data) if data else parser.receive_eof():
                    if isinstance(event, ResponseHead):
                        head = event if event.status >= 200 else head
                    elif isinstance(event, bytes):
                        body += event
                    elif isinstance(event, EndOfMessage | Malformed):
                        data = b""
                if not data:
                    break
    except TimeoutError:
        if not raw:
            raise
        # A stream goes on for ever: its beginning tells.
    if head is not None:
        return head.status, head.headers, bytes(body[:MOST_BYTES])
    return (0, [], bytes(raw)) if raw else None
