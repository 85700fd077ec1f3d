"""The nouns of HTTP as it travels inside: heads, and the events of one exchange.

An exchange is structured: one request head, body parts, perhaps trailers, an end; then any
number of informational heads, one response head, body parts, trailers, end. Heads travel from the
relay's edge to the gatehouse as MessagePack arrays (see ``encode_head``) inside lane frames; no
hop-by-hop field and no framing field is ever among ``headers``: framing is said by ``Framing`` and
rebuilt by whoever writes bytes.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

Headers = list[tuple[bytes, bytes]]
"""Field lines in the order they came; names as sent, compared in lower case."""

MAX_HEAD_BYTES: Final = 64 * 1024
# 64 KiB: the relay protocol's own bound for a head or trailers (docs/wire.md). Between Tomcat's 8
# and node's 80 lies 16 KiB of practice; we carry more, since tokens in cookies grow.

UNKNOWN_LENGTH: Final = -1
NO_BODY: Final = 0


class RequestHead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request line and its end-to-end fields, judged strict by the reader that made it."""

    method: bytes
    target: bytes
    """Origin-form (``/path?query``), or ``*`` for OPTIONS; the exact bytes of the visitor."""
    host: bytes
    """The one Host value, as sent. Not repeated among ``headers``."""
    headers: Headers
    """End-to-end fields, without Host, Content-Length, Transfer-Encoding, Connection and what
    Connection named, Keep-Alive, TE, Trailer, Upgrade, Expect, Proxy-*."""
    body: int = NO_BODY
    """Exact length of the body in bytes, 0 for none, ``UNKNOWN_LENGTH`` for a chunked one."""
    upgrade: bytes = b""
    """The Upgrade value if the visitor asked to change protocols (``websocket``)."""
    expect_continue: bool = False
    """Whether the visitor waits for ``100 Continue`` before it sends the body."""
    http10: bool = False
    """The visitor speaks HTTP/1.0: no chunked answer, no informational head."""
    te_trailers: bool = False
    """The visitor said ``TE: trailers``."""


class ResponseHead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A status line and its end-to-end fields."""

    status: int
    reason: bytes
    headers: Headers
    """End-to-end fields, without Content-Length, Transfer-Encoding, Connection, Keep-Alive…"""
    body: int = UNKNOWN_LENGTH
    """Exact length of the body, 0 for none, ``UNKNOWN_LENGTH`` when the end says so. For an
    answer to HEAD and for 304: the length the origin named (or -1), though no body follows."""
    upgrade: bytes = b""
    """With status 101: the protocol both sides change to; bytes follow instead of a body."""


class EndOfMessage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The message is complete."""

    trailers: Headers
    """Trailer fields that may be forwarded; empty for most messages."""


class Malformed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The bytes are no message, or one that two readers could take in two ways.

    Answer with ``status`` (when the peer is a visitor and no head has been sent) and close; the
    reader takes nothing more.
    """

    status: int
    code: str
    """Stable, kebab-case; stands in ``Underpass-Error``."""
    reason: str
    """For logs: never holds bytes of the message."""


RequestEvent = RequestHead | bytes | EndOfMessage | Malformed
ResponseEvent = ResponseHead | bytes | EndOfMessage | Malformed


def lookup(headers: Headers, name: bytes) -> bytes | None:
    """The first value of the field ``name`` (given in lower case), or None."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(RequestHead)
_response = msgspec.msgpack.Decoder(ResponseHead)
_trailers = msgspec.msgpack.Decoder(Headers)

T = TypeVar("T")


def encode_head(head: RequestHead | ResponseHead) -> bytes:
    """The head as one MessagePack array."""
    return _encode(head)


def encode_trailers(trailers: Headers) -> bytes:
    """Trailer fields as one MessagePack array."""
    return _encode(trailers)


def decode_request(data: bytes) -> RequestHead:
    """Parse a request head; raises ``msgspec.DecodeError``. The content is not judged here."""
    return _decoded(_request, data)


def decode_response(data: bytes) -> ResponseHead:
    """Parse a response head; raises ``msgspec.DecodeError``. The content is not judged here."""
    return _decoded(_response, data)


def decode_trailers(data: bytes) -> Headers:
    """Parse trailer fields; raises ``msgspec.DecodeError``. The content is not judged here."""
    return _decoded(_trailers, data)


def _decoded(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except RecursionError:  # arrays nested by the thousand inside an element that it skips
        raise msgspec.DecodeError("the bytes are not a well-formed record") from None
