"""Measuring large bodies both ways, and what a way changes in messages."""

from __future__ import annotations

import hashlib
from typing import Final

from underpass.gatehouse.measuring.questions import Question, Task, body
from underpass.http.messages import Headers, lookup
from underpass.prove.streaming.delays import patient
from underpass.prove.streaming.event_reader import EventReader
from underpass.prove.streaming.results import Body, Changes
from underpass.prove.streaming.way import Interrupted, Way

TOKEN_BYTES: Final = 4
TEXT_BYTES: Final = 20_000
"""Long enough to be worth packing: nginx begins at 20 bytes, Cloudflare at about 50."""

SENT: Final[Headers] = [
    (b"MCP-Protocol-Version", b"2025-11-25"),
    (b"Mcp-Session-Id", b"measured-0123456789"),
    (b"Mcp-Name", b"=?base64?bWVhc3VyZWQ=?="),
    (b"Last-Event-ID", b"41"),
    (b"A2A-Version", b"1.0"),
    (b"Traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]
"""Fields that a way must pass on as they are."""

EXPECTED: Final[Headers] = [
    (b"content-type", b"text/plain"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"underpass-measured", b"v1"),
]
"""Fields of the answer; the first may be given a charset."""


async def measure_down(public: Way, straight: Way, *, size: int = 0, tokens: int = 0) -> Body:
    """A large answer: of ``size`` bytes, or of ``tokens`` small events as fast as they go."""
    _, straight_us = await _down(straight, size, tokens)
    is_intact, us = await _down(public, size, tokens)
    kind, amount = ("tokens", tokens) if tokens else ("bytes", size)
    return Body("down", kind, amount, us, straight_us, is_intact)


async def measure_up(public: Way, straight: Way, *, size: int = 0, tokens: int = 0) -> Body:
    """A large request, likewise."""
    _, straight_us = await _up(straight, size, tokens)
    is_intact, us = await _up(public, size, tokens)
    kind, amount = ("tokens", tokens) if tokens else ("bytes", size)
    return Body("up", kind, amount, us, straight_us, is_intact)


async def _down(way: Way, size: int, tokens: int) -> tuple[bool, int]:
    asked = (Task.EVENTS, tokens, TOKEN_BYTES) if tokens else (Task.DOWN, 0, size)
    events, digest, seen, at = EventReader(), hashlib.sha256(), 0, 0
    async with way.talk(asked[0], n=asked[1], size=asked[2]) as talk:
        note = way.notes.find(talk.asked)
        try:
            while not talk.is_complete:
                at, data = await patient(talk.part)
                note = note or way.notes.find(talk.asked)
                if tokens:
                    events.receive_data(data)
                else:
                    digest.update(data)
                    seen += len(data)
        except Interrupted:
            if talk.head is None:
                raise
        if note is None:
            return False, 0
        if tokens:
            digest, seen = events.digest, events.size
        is_intact = talk.is_complete and seen == note.sent
        is_intact = is_intact and digest.digest() == note.sent_digest.digest()
        return is_intact, max(0, at - talk.begun) // 1000


async def _up(way: Way, size: int, tokens: int) -> tuple[bool, int]:
    each = TOKEN_BYTES if tokens else size
    asked = Question(Task.UP, 0, tokens, 0, each)
    expected, total = hashlib.sha256(), 0
    for part in body(asked):
        expected.update(part)
        total += len(part)
    async with way.talk(Task.UP, n=tokens, size=each, parts=body(asked)) as talk:
        while not talk.is_complete:
            at, _ = await patient(talk.part)
        note = way.notes.find(talk.asked)
        if note is None:
            return False, 0
        is_intact = note.received == total and note.digest.digest() == expected.digest()
        return is_intact, (at - talk.begun) // 1000


async def measure_changes(public: Way) -> Changes:
    """Come as a visitor who can unpack everything, and compare."""
    asked = Question(Task.TEXT, 0, 0, 0, TEXT_BYTES)
    fields: Headers = [*SENT, (b"Accept-Encoding", b"gzip, deflate, br, zstd")]
    received = bytearray()
    async with public.talk(Task.TEXT, size=TEXT_BYTES, fields=fields) as talk:
        while not talk.is_complete:
            received += (await patient(talk.part))[1]
        note = public.notes.find(talk.asked)
        assert talk.head is not None
        answer = talk.head.headers
        coding = lookup(answer, b"content-encoding") or b""
        arrived: Headers = [] if note is None else note.headers
        return Changes(
            content_coding=coding.decode("ascii", "replace")[:40],
            is_text_same=bytes(received) == b"".join(body(asked)),
            answer_fields=_changed(EXPECTED, answer),
            request_fields=_changed(SENT, arrived),
        )


def _changed(expected: Headers, found: Headers) -> tuple[str, ...]:
    names = []
    for name, value in expected:
        seen = lookup(found, name.lower()) or b""
        if seen.partition(b";")[0].strip() != value:
            names.append(name.decode("ascii").lower())
    return tuple(names)
