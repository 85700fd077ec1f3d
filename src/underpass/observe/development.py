"""From a tape to what is kept of it: parsed into parts, and without its secrets. Pure.

The whole of a direction is searched for secrets at once, whatever parts it came in; only then it is
cut into the events or frames that people know it by. What cannot be searched is not kept: codings
that we cannot undo, compressed frames, the bytes of plain TCP.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

import msgspec

from underpass.http.messages import Headers
from underpass.observe.frames import Frame, read_frames
from underpass.observe.record import Body, Messages, Outline, Part
from underpass.observe.redaction import Answered, Asked, Redaction
from underpass.observe.tape import Side, Tape

HEADS_ONLY: Final = "heads only"
PLAIN_BYTES: Final = "bytes"

_EVENT_END: Final = re.compile(rb"\r?\n\r?\n|\r\r")

_ZLIB_WINDOW: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 47}
"""For ``deflate`` zlib finds out by itself whether there is a wrapper."""


_NO_BODY: Final = Body()
_NO_PARTS: Final[list[Part]] = []
_NO_FIELDS: Final[Headers] = []
_NOTHING_ASKED: Final = Asked("", "", "", _NO_FIELDS, 0, b"", b"")
_NOTHING_ANSWERED: Final = Answered(_NO_FIELDS, 0, b"", b"", False, "")


def develop(
    tape: Tape, redaction: Redaction, *, tunnel: str, limit: int
) -> tuple[Outline, Messages]:
    """The outline and the messages of ``tape`` as it is now; they share parts with those of other
    tapes. ``limit`` bounds what is decoded; 0: no bodies are kept."""
    if tape.request is not None or tape.response is not None:
        look_through(tape, redaction)
    asked, answered = tape.asked or _NOTHING_ASKED, tape.answered or _NOTHING_ANSWERED
    kind = tape.kind
    if answered.has_events and kind == "http":
        kind = "events"
    up = down = _NO_BODY
    if kind == "http":
        if tape.up.size:
            up = _body(tape.up, asked.coding, asked.kind, redaction, limit)
        if tape.down.size:
            down = _body(tape.down, answered.coding, b"", redaction, limit)
    elif kind == "events":
        if tape.up.size:
            up = _body(tape.up, asked.coding, asked.kind, redaction, limit)
        down = _events(tape, answered.coding, redaction, limit > 0)
    elif kind == "websocket":
        up = _frames(tape.up, tape, redaction, limit > 0)
        down = _frames(tape.down, tape, redaction, limit > 0)
    else:
        up, down = _unseen(tape.up, PLAIN_BYTES), _unseen(tape.down, PLAIN_BYTES)
    if answered.redacted:
        down = msgspec.structs.replace(down, redacted=down.redacted + answered.redacted)
    messages = Messages(
        asked.fields,
        up,
        answered.fields,
        down,
        answered.reason,
        asked.redacted,
        redaction.fields(tape.request_trailers)[0] if tape.request_trailers else _NO_FIELDS,
        redaction.fields(tape.response_trailers)[0] if tape.response_trailers else _NO_FIELDS,
    )
    begun, ended, outcome, code = tape.begun, tape.ended, tape.outcome, tape.code or answered.code
    if outcome == "open" and ended is not None:
        outcome = "answered" if code else "complete"
    outline = Outline(
        tape.id,
        tunnel,
        kind,
        tape.at,
        asked.method,
        asked.target,
        asked.host,
        tape.status,
        outcome,
        code,
        tape.gate,
        tape.address,
        tape.identity,
        None if tape.first is None else tape.first - begun,
        None if ended is None else ended - begun,
        tape.up.size,
        tape.down.size,
        tape.is_replay_of,
    )
    return outline, messages


def look_through(tape: Tape, redaction: Redaction) -> None:
    """Put what is kept of the heads in their place."""
    request, response = tape.request, tape.response
    if request is not None and tape.asked is None:
        tape.asked = redaction.asked(request, tape.strip)
    if response is not None and tape.answered is None:
        tape.answered = redaction.answered(response)


def _unseen(side: Side, why: str) -> Body:
    return Body(cut=side.size > 0, opaque=why if side.size else "")


def _body(side: Side, coding: bytes, kind: bytes, redaction: Redaction, room: int) -> Body:
    """A body as one piece."""
    if room <= 0:
        return _unseen(side, HEADS_ONLY)
    data = side.parts[0] if len(side.parts) == 1 else b"".join(side.parts)
    cut = side.cut or len(data) < side.size
    decoded = ""
    if coding and coding != b"identity":
        window = _ZLIB_WINDOW.get(coding)
        plain = None if window is None else _inflated(data, window, room)
        if plain is None:
            return _unseen(side, f"coding {coding.decode('latin-1')}")
        data, is_short = plain
        cut = cut or is_short
        decoded = coding.decode("latin-1")
    if kind.startswith(b"application/x-www-form-urlencoded"):
        said, count = redaction.pairs(data)
    else:
        said, count = redaction.text(data, cut=cut)
    return Body(said, _NO_PARTS, cut, "", decoded, count)


def _inflated(data: bytes, window: int, room: int) -> tuple[bytes, bool] | None:
    """At most ``room`` bytes of what was compressed, and whether there is more; None if it is
    damaged from its beginning."""
    decoder = zlib.decompressobj(window)
    try:
        plain = decoder.decompress(data, room)
    except zlib.error:
        return None
    return plain, bool(decoder.unconsumed_tail) or not decoder.eof


def _events(tape: Tape, coding: bytes, redaction: Redaction, keeps_bodies: bool) -> Body:
    """An event stream, one part an event."""
    side = tape.down
    if not keeps_bodies:
        return _unseen(side, HEADS_ONLY)
    if coding and coding != b"identity":
        return _unseen(side, f"coding {coding.decode('latin-1')}")
    whole = b"".join(side.parts)
    ends = _event_ends(whole)
    pieces = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    said, count = redaction.parts(pieces, cut=side.cut)
    times = _times(side, ends)
    parts = [
        Part(at=when - tape.begun, kind="event", size=len(piece), data=data)
        for when, piece, data in zip(times, pieces, said, strict=True)
    ]
    if side.cut and parts and not whole.endswith((b"\n", b"\r")):
        parts[-1].cut = True
    return Body(parts=parts, cut=side.cut, redacted=count)


def _event_ends(whole: bytes) -> list[int]:
    """Offsets behind each event's empty line, the last being the end of what there is."""
    ends = [match.end() for match in _EVENT_END.finditer(whole)]
    if whole and (not ends or ends[-1] < len(whole)):
        ends.append(len(whole))
    return ends


def _times(side: Side, ends: list[int]) -> list[float]:
    """When the byte before each offset came."""
    times, reached, index = [], 0, -1
    for end in ends:
        while reached < end:
            index += 1
            reached += len(side.parts[index])
        times.append(side.times[index])
    return times


def _frames(side: Side, tape: Tape, redaction: Redaction, keeps_bodies: bool) -> Body:
    """A WebSocket's direction, one part a frame. The fragments of a message are searched as the
    one text that they are."""
    frames = read_frames(b"".join(side.parts))
    times = _times(side, [frame.end for frame in frames])
    payloads = [frame.payload for frame in frames]
    count = 0
    if keeps_bodies:
        by_message: dict[int, list[int]] = {}
        for number, frame in enumerate(frames):
            if not frame.is_control:
                by_message.setdefault(frame.message, []).append(number)
        for numbers in by_message.values():
            cut = frames[numbers[-1]].cut
            said, found = redaction.parts([payloads[number] for number in numbers], cut=cut)
            count += found
            for number, payload in zip(numbers, said, strict=True):
                payloads[number] = payload
    parts = [
        _frame_part(frame, when - tape.begun, payload, keeps_bodies)
        for frame, when, payload in zip(frames, times, payloads, strict=True)
    ]
    opaque = "" if keeps_bodies or not frames else HEADS_ONLY
    return Body(parts=parts, cut=side.cut, opaque=opaque, redacted=count)


def _frame_part(frame: Frame, at: float, payload: bytes, keeps_bodies: bool) -> Part:
    return Part(
        at=at,
        kind=frame.kind,
        size=frame.size,
        data=payload if keeps_bodies or frame.is_control else b"",
        final=frame.final,
        cut=frame.cut and not frame.opaque,
        opaque=frame.opaque,
    )
