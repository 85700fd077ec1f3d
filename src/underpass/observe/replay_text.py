"""A request as text that can be edited and read back, and what keeps one from being sent again.

    POST /hooks/stripe HTTP/1.1
    Host: tools.relay.example.com
    Content-Type: application/json

    {"id": 1}

Lines of the head end with LF or CRLF; the body is everything behind the first empty line, to the
byte. Lines that begin with ``#`` before the request line are comments. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from underpass.observe.errors import ReplayImpossible, ReplayText
from underpass.observe.record import Messages, Outline
from underpass.observe.redaction import WORD

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, 9.2.1 and 9.2.2: those that may be sent again without asking. PUT and DELETE can be
repeated by their definition, but not after something else has happened."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_SENT: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"te", b"upgrade"}
)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is to be sent."""

    method: bytes
    target: bytes
    host: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def redacted(self) -> list[str]:
        """Where a secret was taken out and nothing was put in: names of fields, ``target``,
        ``body``."""
        places = [name.decode("latin-1") for name, value in self.headers if WORD in value]
        if WORD in self.target:
            places.insert(0, "target")
        if WORD in self.body:
            places.append("body")
        return places

    def without_redacted(self) -> ReplayRequest:
        """The same without the fields and query values that stand for secrets."""
        headers = [field for field in self.headers if WORD not in field[1]]
        path, mark, query = self.target.partition(b"?")
        kept = [pair for pair in query.split(b"&") if WORD not in pair]
        target = path + mark + b"&".join(kept) if kept else path
        return ReplayRequest(self.method, target, self.host, headers, self.body)


def recorded_request(
    outline: Outline, messages: Messages, *, edited: bool = False
) -> ReplayRequest:
    """The request of a recorded exchange. Raises ``ReplayImpossible`` when it is not whole; one
    that will be ``edited`` may be cut."""
    body = messages.request
    if outline.kind in ("tcp", "reach", "websocket", "upgrade"):
        raise ReplayImpossible(outline.key, f"it was no plain request ({outline.kind})")
    if body.opaque:
        raise ReplayImpossible(outline.key, f"its body was not recorded ({body.opaque})")
    if body.decoded:
        raise ReplayImpossible(outline.key, f"its body was compressed ({body.decoded})")
    if body.cut and not edited:
        raise ReplayImpossible(outline.key, "its body was recorded only in part")
    if outline.up > len(body.data) and not body.redacted and not edited:
        raise ReplayImpossible(outline.key, "its body was recorded only in part")
    return ReplayRequest(
        outline.method.encode("latin-1"),
        outline.target.encode(),
        outline.host.encode("latin-1"),
        list(messages.request_fields),
        body.data,
    )


def with_headers(request: ReplayRequest, headers: Iterable[tuple[str, str]]) -> ReplayRequest:
    """``request`` with fields set: those of the same name are replaced; an empty value removes."""
    fields = list(request.headers)
    host = request.host
    for name, value in headers:
        key = name.encode("latin-1").lower()
        fields = [field for field in fields if field[0].lower() != key]
        if key == b"host":
            host = value.encode("latin-1")
        elif value:
            fields.append((name.encode("latin-1"), value.encode("latin-1")))
    return ReplayRequest(request.method, request.target, host, fields, request.body)


def write_text(request: ReplayRequest, notes: Iterable[str] = ()) -> bytes:
    """The text to edit."""
    lines = [b"# " + note.encode() for note in notes]
    lines.append(b"%b %b HTTP/1.1" % (request.method, request.target))
    lines.append(b"Host: " + request.host)
    lines += [b"%b: %b" % field for field in request.headers]
    return b"\n".join(lines) + b"\n\n" + request.body


def read_text(text: bytes) -> ReplayRequest:
    """The request that ``text`` says. Raises ``ReplayText``."""
    while text.startswith(b"#"):
        text = text.partition(b"\n")[2]
    head, empty, body = _split(text)
    lines = head.splitlines()
    if not lines:
        raise ReplayText("it is empty")
    words = lines[0].split(b" ")
    if len(words) not in (2, 3) or not _TOKEN.fullmatch(words[0]) or not words[1]:
        raise ReplayText("its first line is not METHOD TARGET")
    if not words[1].startswith(b"/") and words[1] != b"*":
        raise ReplayText("its target does not begin with /")
    host = b""
    headers: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise ReplayText(f"the line {line[:60].decode('latin-1')!r} is no header")
        if name.lower() == b"host":
            host = value.strip()
        elif name.lower() not in _NOT_SENT:
            headers.append((name, value.strip()))
    if not host:
        raise ReplayText("it has no Host")
    return ReplayRequest(words[0], words[1], host, headers, body if empty else b"")


def _split(text: bytes) -> tuple[bytes, bytes, bytes]:
    match = re.search(rb"\r?\n\r?\n", text)
    if match is None:
        return text, b"", b""
    return text[: match.start()], match.group(), text[match.end() :]
