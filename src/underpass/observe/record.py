"""What is kept of one exchange: its outline, and its two messages. All of it without secrets.

The outline is what lists and filters read; the messages are read for one exchange at a time. Both
are stored as MessagePack arrays: fields are only ever added at the end, with a default.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final

import msgspec

SCHEMA: Final = "underpass/v1/request"

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32: no letters that look like others."""
_ID_LENGTH: Final = 13
_OWN_BITS: Final = 6
_COUNT_BITS: Final = 14
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1
_SHIFT: Final = _OWN_BITS + _COUNT_BITS


class Part(msgspec.Struct, array_like=True, gc=False):
    """One event of an event stream, or one frame of a WebSocket."""

    at: float
    """Seconds after the exchange began."""
    kind: str
    """``event``; ``text``, ``binary``, ``continuation``, ``ping``, ``pong``, ``close``."""
    size: int
    data: bytes = b""
    final: bool = True
    """The last frame of its message."""
    cut: bool = False
    opaque: bool = False
    """Compressed by an extension: it cannot be searched for secrets, so it is not kept."""


class Body(msgspec.Struct, array_like=True, gc=False):
    """What was kept of one direction."""

    data: bytes = b""
    """Empty where there are ``parts``."""
    parts: list[Part] = []
    cut: bool = False
    """There was more than was kept."""
    opaque: str = ""
    """Why nothing was kept: ``heads only``, ``bytes``, or a coding that we cannot undo."""
    decoded: str = ""
    """The content coding that was undone, for ``data`` to be searched for secrets."""
    redacted: int = 0
    """Secrets taken out."""


class Outline(msgspec.Struct, array_like=True, gc=False):
    """One exchange in a line. Durations are seconds, points in time unix seconds."""

    id: int
    tunnel: str
    kind: str
    """``http``, ``events``, ``websocket``, ``upgrade``, ``tcp`` or ``reach``."""
    at: float
    method: str = ""
    target: str = ""
    host: str = ""
    status: int = 0
    outcome: str = "open"
    """``complete``, ``broken``, ``denied`` (by a gate), ``answered`` (by us), or ``open``."""
    code: str = ""
    """Of our own answer, or of the break."""
    gate: str = ""
    """The gate that denied it."""
    visitor: str = ""
    """Its address, as far as it may be believed; "" if nobody vouches for one."""
    identity: str = ""
    """Who a gate found it to be; "" where gates do not tell people apart."""
    first: float | None = None
    """Until the answer's first byte."""
    total: float | None = None
    """Until its end."""
    up: int = 0
    """Bytes of body, or of the stream, from the visitor."""
    down: int = 0
    replay_of: str = ""

    @property
    def key(self) -> str:
        """The id as people write it."""
        return format_id(self.id)


Fields = list[tuple[bytes, bytes]]


class Messages(msgspec.Struct, array_like=True, gc=False):
    """Both messages of one exchange. What is handed in to be written shares its parts with others:
    none of it is changed."""

    request_fields: Fields = []
    request: Body = msgspec.field(default_factory=Body)
    response_fields: Fields = []
    response: Body = msgspec.field(default_factory=Body)
    reason: bytes = b""
    redacted: int = 0
    """Secrets taken out of the target and the fields of the request."""
    request_trailers: list[tuple[bytes, bytes]] = []
    response_trailers: list[tuple[bytes, bytes]] = []


_encoder: Final = msgspec.msgpack.Encoder()
encode = _encoder.encode
encode_into = _encoder.encode_into
decode_outline = msgspec.msgpack.Decoder(Outline).decode
decode_messages = msgspec.msgpack.Decoder(Messages).decode
decode_outlines = msgspec.msgpack.Decoder(list[Outline]).decode
decode_messages_of_many = msgspec.msgpack.Decoder(list[Messages]).decode


class _Id(msgspec.Struct, array_like=True, gc=False):
    """An outline of which nothing but the id is read."""

    id: int


decode_ids = msgspec.msgpack.Decoder(list[_Id]).decode


class Ids:
    """Makes ids: those of later exchanges are larger, whichever process made them.

    Behind the milliseconds stand a number of this maker's own and a count, so that neither one
    process nor two of them give one id twice.
    """

    __slots__ = ("_count", "_own")

    def __init__(self) -> None:
        self._own = secrets.randbelow(1 << _OWN_BITS) << _COUNT_BITS
        self._count = secrets.randbelow(1 << _COUNT_BITS)

    def new(self, at: float) -> int:
        """A fresh id for an exchange that began ``at`` unix seconds."""
        self._count = count = (self._count + 1) & _COUNT_MASK
        return int(at * 1000) << _SHIFT | self._own | count


def first_id(at: float) -> int:
    """The smallest id that an exchange which began ``at`` unix seconds can have."""
    return max(0, int(at * 1000)) << _SHIFT


def format_id(number: int) -> str:
    """The id as people write it: thirteen letters and digits."""
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(60, -1, -5))


def parse_id(text: str) -> int | None:
    """The number of an id as ``format_id`` writes it; None for any other text."""
    if len(text) != _ID_LENGTH:
        return None
    number = 0
    for letter in text.lower():
        at = _ALPHABET.find(letter)
        if at < 0:
            return None
        number = number << 5 | at
    return number if number < 1 << 63 else None


def outline_object(outline: Outline) -> dict[str, Any]:
    """The JSON object of one exchange without its messages."""
    facts = {name: getattr(outline, name) for name in outline.__struct_fields__ if name != "id"}
    return {"schema": SCHEMA, "id": outline.key, **facts}


def exchange_object(outline: Outline, messages: Messages) -> dict[str, Any]:
    """The JSON object of one exchange with both messages."""
    return {
        **outline_object(outline),
        "request": {
            "headers": _fields(messages.request_fields),
            **_trailers(messages.request_trailers),
            "redacted": messages.redacted + messages.request.redacted,
            "body": body_object(messages.request),
        },
        "response": {
            "reason": messages.reason.decode("latin-1"),
            "headers": _fields(messages.response_fields),
            **_trailers(messages.response_trailers),
            "redacted": messages.response.redacted,
            "body": body_object(messages.response),
        },
    }


def body_object(body: Body) -> dict[str, Any]:
    """The JSON object of what was kept of one direction; bytes that are no text in base64."""
    shown: dict[str, Any] = {"cut": body.cut}
    if body.opaque:
        shown["opaque"] = body.opaque
    if body.decoded:
        shown["decoded"] = body.decoded
    if body.parts:
        shown["parts"] = [_part_object(part) for part in body.parts]
    else:
        shown.update(_bytes(body.data))
    return shown


def _part_object(part: Part) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": round(part.at, 6), "kind": part.kind, "size": part.size}
    for mark in ("cut", "opaque"):
        if getattr(part, mark):
            shown[mark] = True
    if not part.final:
        shown["final"] = False
    return {**shown, **_bytes(part.data)}


def _bytes(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _fields(fields: list[tuple[bytes, bytes]]) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]


def _trailers(fields: list[tuple[bytes, bytes]]) -> dict[str, list[list[str]]]:
    return {"trailers": _fields(fields)} if fields else {}
