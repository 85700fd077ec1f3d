"""Asking an MCP server for its tools, in each of the three transports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from underpass.gatehouse.preflight.web import Connect, WebAsker
from underpass.gatehouse.preflight.wire import Wire, WireRefused
from underpass.guard.preflight import claims, tools
from underpass.guard.preflight.findings import Finding
from underpass.guard.preflight.seen import MOST_BYTES, Seen
from underpass.http.messages import Headers, ResponseHead, lookup
from underpass.http.reader import ResponseReader


async def find_tools(web: WebAsker, path: str, *, is_declared: bool) -> Finding | None:
    """Ask at ``path`` by the two later transports. Where nothing says that a server is meant to
    be there, a POST is sent only after a GET was answered as such a server would."""
    if not is_declared:
        got = await web.send("GET", path, tools.LISTENS, until=bool)
        if got is None or not tools.speaks_mcp(Seen("mcp", path, *got)):
            return None
    return await _stateless(web, path) or await _in_session(web, path)


async def _stateless(web: WebAsker, path: str) -> Finding | None:
    got = await _post(web, path, *tools.stateless_list(), number=1)
    where = f"POST {path} (tools/list, 2026-07-28)"
    return None if got is None else _judged(web, path, got[2], 1, where)


async def _in_session(web: WebAsker, path: str) -> Finding | None:
    got = await _post(web, path, *tools.initialize(), number=1)
    if got is None or not tools.is_answer(got[2], 1):
        return None
    session = lookup(got[1], b"mcp-session-id") or b""
    try:
        await _post(web, path, *tools.initialized(session), number=0)
        got = await _post(web, path, *tools.session_list(session), number=2)
    finally:
        if session:
            await web.send("DELETE", path, tools.end_session(session))
    where = f"POST {path} (initialize, tools/list)"
    return None if got is None else _judged(web, path, got[2], 2, where)


def _judged(web: WebAsker, path: str, data: bytes, number: int, where: str) -> Finding | None:
    """What an answer to ``tools/list`` shows. Nothing to list is no danger by itself, but it is for
    whoever relies on the origin's asking for tokens."""
    where += (how := web.how("POST", path))
    found = tools.find_tools(data, number, where)
    if found is None and how and tools.is_judged(data, number):
        return claims.ignored(where, "answered")
    return found


async def _post(
    web: WebAsker, path: str, fields: Headers, body: bytes, *, number: int
) -> tuple[int, Headers, bytes] | None:
    return await web.send("POST", path, fields, body, until=partial(tools.is_answer, number=number))


async def find_tools_by_events(web: WebAsker, connect: Connect, path: str) -> Finding | None:
    """Ask by the oldest transport, whose answers come on the stream that ``path`` opens."""
    request = web.request("GET", path, tools.LISTENS, 0)
    if request is None:
        return None
    web.asked += 1
    try:
        async with asyncio.timeout(web.patience):
            wire = await connect()
    except (WireRefused, TimeoutError):
        return None
    stream = _Stream(wire)
    try:
        wire.write(request)
        async with asyncio.timeout(web.patience):
            return await _converse(web, stream, path)
    except TimeoutError:
        if not stream.has_begun:
            web.unanswered.add(path)
        return None
    finally:
        wire.close()


async def _converse(web: WebAsker, stream: _Stream, path: str) -> Finding | None:
    await stream.read_until(lambda data: tools.endpoint_in(data) is not None)
    endpoint = tools.endpoint_in(bytes(stream.body))
    if endpoint is None:
        return None
    target = endpoint.decode("ascii")
    await web.send("POST", target, *tools.initialize(is_oldest=True))
    await stream.read_until(partial(tools.is_answer, number=1))
    await web.send("POST", target, *tools.initialized(b""))
    await web.send("POST", target, *tools.session_list(b""))
    await stream.read_until(partial(tools.is_answer, number=2))
    where = f"GET {path}, POST {target.partition('?')[0]}{web.how('POST', target)}"
    return tools.find_tools(bytes(stream.body), 2, where)


class _Stream:
    """The body of an answer that goes on."""

    def __init__(self, wire: Wire) -> None:
        self.body = bytearray()
        self._wire = wire
        self._parser = ResponseReader(b"GET")
        self._is_over = False
        self.has_begun = False
        """Anything has come."""

    async def read_until(self, enough: Callable[[bytes], bool]) -> None:
        """Read on until ``enough`` says so of all that came, or no more comes."""
        while not self._is_over and not enough(bytes(self.body)):
            data = await self._wire.read()
            self.has_begun = True
            events = self._parser.receive_data(data) if data else self._parser.receive_eof()
            for event in events:
                if isinstance(event, bytes):
                    self.body += event
                elif not isinstance(event, ResponseHead) or not _is_stream(event):
                    self._is_over = True
            self._is_over = self._is_over or not data or len(self.body) > MOST_BYTES


def _is_stream(head: ResponseHead) -> bool:
    kind = lookup(head.headers, b"content-type") or b""
    return head.status == 200 and kind.lower().startswith(b"text/event-stream")
