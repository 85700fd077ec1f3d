"""From the bytes of one response head to a ``ResponseHead``, or a refusal.

As strict as for requests: an answer that two readers could cut in two ways poisons the connection
it came on, so it is refused (502) rather than repaired.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from underpass.http.grammar import is_length, is_protocol
from underpass.http.head import Refusal
from underpass.http.messages import NO_BODY, UNKNOWN_LENGTH, ResponseHead
from underpass.http.names import Kind
from underpass.http.sink import LIFETIME, NO_OPTIONS, FieldSink, options_of

# Members of an enum cost a lookup each; these stand in the loop over every head.
_CODING: Final = Kind.CODING
_CONNECTION: Final = Kind.CONNECTION
_INVALID: Final = Kind.INVALID
_LENGTH: Final = Kind.LENGTH
_TWIN: Final = Kind.TWIN
_UPGRADE: Final = Kind.UPGRADE

_status_line: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n"
).match


def bad(reason: str) -> Refusal:
    """The bytes are no answer that can be passed on."""
    return Refusal(502, "origin-malformed", reason)


class Delimiter:
    """How the end of an answer's body is told."""

    __slots__ = ()
    NONE: Final = 0
    LENGTH: Final = 1
    CHUNKED: Final = 2
    CLOSE: Final = 3


def parse_response_head(data: bytes, method: bytes) -> tuple[ResponseHead, int, bool]:
    """Judge one whole head that answers a ``method`` request; answers it, how its body ends (a
    ``Delimiter``) and whether the connection may be reused. Raises ``Refusal``."""
    line = _status_line(data)
    if line is None:
        raise bad("a status line that is none")
    sink = FieldSink()
    try:
        HttpResponseParser(sink).feed_data(data)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise bad(str(error)) from None
    if len(sink.plain) + len(sink.special) != data.count(b"\r\n") - 2:
        raise bad("fields and lines differ in number")
    if b" \r\n" in data or b"\t\r\n" in data:
        sink.trim()
    return _build(int(line[2]), line[3] or b"", line[1] == b"0", method, sink)


def _build(
    status: int, reason: bytes, http10: bool, method: bytes, sink: FieldSink
) -> tuple[ResponseHead, int, bool]:
    length: bytes | None = None
    coding: bytes | None = None
    upgrade = b""
    named: frozenset[bytes] = NO_OPTIONS
    headers = sink.plain
    for kind, name, value in sink.special:
        if kind == _LENGTH:
            if length is not None:
                raise bad("more than one Content-Length")
            length = value
        elif kind == _CODING:
            if coding is not None:
                raise bad("more than one Transfer-Encoding")
            coding = value
        elif kind == _CONNECTION:
            words = options_of(value)
            if words is None:
                raise bad("a Connection field that is no list of names")
            named = named | words if named else words
        elif kind == _UPGRADE:
            upgrade = upgrade + b", " + value if upgrade else value
        elif kind == _TWIN:
            # Only requests are read by guards; an origin may name its answers as it likes.
            headers = [*headers, (name, value)]
        elif kind == _INVALID:
            raise bad("a field name that is no token")
    if not named <= LIFETIME:
        headers = [(name, value) for name, value in headers if name.lower() not in named]
    if length is not None and not is_length(length):
        raise bad("a Content-Length that is no plain number")
    if coding is not None:
        if length is not None:
            raise bad("Content-Length together with Transfer-Encoding")
        if http10 or coding.lower() != b"chunked":
            raise bad("a Transfer-Encoding other than chunked")
    body, delimiter = _framing(status, method, length, coding)
    if status == 101 and not (b"upgrade" in named and is_protocol(upgrade)):
        raise bad("a change to no protocol")
    if status not in (101, 426):
        upgrade = b""
    keep = b"keep-alive" in named if http10 else True
    if b"close" in named or delimiter == Delimiter.CLOSE:
        keep = False
    return ResponseHead(status, reason, headers, body, upgrade), delimiter, keep


def _framing(
    status: int, method: bytes, length: bytes | None, coding: bytes | None
) -> tuple[int, int]:
    if status < 200 or status == 204:
        return NO_BODY, Delimiter.NONE
    if method == b"HEAD" or status == 304:
        return UNKNOWN_LENGTH if length is None else int(length), Delimiter.NONE
    if coding is not None:
        return UNKNOWN_LENGTH, Delimiter.CHUNKED
    if length is not None:
        size = int(length)
        return size, Delimiter.LENGTH if size else Delimiter.NONE
    return UNKNOWN_LENGTH, Delimiter.CLOSE
