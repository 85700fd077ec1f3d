"""From the bytes of one request head to a ``RequestHead``, or a refusal.

Two parsers must agree: llhttp (through httptools, every lenient flag off) reads the fields, and
what it is known to let pass is refused here: other request targets than origin-form, doubled or
missing Host, any Transfer-Encoding but ``chunked``, Transfer-Encoding in HTTP/1.0, loose request
lines. Each rule stands beside its refusal.
"""

from __future__ import annotations

from typing import Final

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from underpass.http.grammar import is_host, is_length, is_method, is_protocol, is_target, tokens
from underpass.http.head import Limits, Refusal
from underpass.http.messages import NO_BODY, UNKNOWN_LENGTH, RequestHead
from underpass.http.names import Kind
from underpass.http.sink import LIFETIME, NO_OPTIONS, FieldSink, options_of

# Members of an enum cost a lookup each; these stand in the loop over every head.
_CODING: Final = Kind.CODING
_CONNECTION: Final = Kind.CONNECTION
_EXPECT: Final = Kind.EXPECT
_HOST: Final = Kind.HOST
_INVALID: Final = Kind.INVALID
_LENGTH: Final = Kind.LENGTH
_TE: Final = Kind.TE
_TWIN: Final = Kind.TWIN
_UPGRADE: Final = Kind.UPGRADE

_VERSIONS: Final = {b"HTTP/1.1": False, b"HTTP/1.0": True}

_LOAD_BEARING: Final = frozenset((b"host", b"content-length", b"transfer-encoding"))
"""Fields that Connection may not name: taking them away would change what the message is."""

_NO_TUNNEL: Final = (b"h2c", b"http/", b"tls/")
"""Protocols no visitor may change to: h2c would carry further requests past the gatehouse."""


def malformed(reason: str) -> Refusal:
    """The bytes are no request."""
    return Refusal(400, "request-malformed", reason)


def ambiguous(reason: str) -> Refusal:
    """The bytes are a request, but two readers could take it in two ways."""
    return Refusal(400, "request-ambiguous", reason)


def parse_request_head(data: bytes, limits: Limits) -> tuple[RequestHead, bool]:
    """Judge one whole head (as ``HeadCollector`` gives it); answers it and whether the connection
    may be reused after it. Raises ``Refusal``."""
    method, target, http10 = _request_line(data, limits)
    sink = FieldSink()
    try:
        HttpRequestParser(sink).feed_data(data)
    except HttpParserUpgrade:
        pass
    except HttpParserInvalidMethodError:
        raise Refusal(501, "method-unsupported", "a method that llhttp does not know") from None
    except HttpParserError as error:
        raise malformed(str(error)) from None
    if len(sink.plain) + len(sink.special) != data.count(b"\r\n") - 2:
        raise ambiguous("fields and lines differ in number")
    if b" \r\n" in data or b"\t\r\n" in data:
        sink.trim()
    return _build(method, target, http10, sink)


def _request_line(data: bytes, limits: Limits) -> tuple[bytes, bytes, bool]:
    words = data[: data.index(b"\r\n")].split(b" ")
    if len(words) != 3:
        raise malformed("a request line of other than three words")
    method, target, version = words
    http10 = _VERSIONS.get(version)
    if http10 is None:
        if version.startswith(b"HTTP/"):
            raise Refusal(505, "version-unsupported", "neither HTTP/1.1 nor HTTP/1.0")
        raise malformed("no HTTP version")
    if not is_method(method):
        raise malformed("a method that is no method")
    if method == b"CONNECT":
        raise Refusal(501, "method-unsupported", "CONNECT asks for a proxy, which this is not")
    if len(target) > limits.target_bytes:
        raise Refusal(414, "target-too-long", f"a target of more than {limits.target_bytes} bytes")
    if not is_target(target) or (target == b"*" and method != b"OPTIONS"):
        raise malformed("a target that is not origin-form")
    return method, target, http10


def _build(method: bytes, target: bytes, http10: bool, sink: FieldSink) -> tuple[RequestHead, bool]:
    host: bytes | None = None
    length: bytes | None = None
    coding: bytes | None = None
    upgrade: bytes | None = None
    expect: bytes | None = None
    te_trailers = False
    named: frozenset[bytes] = NO_OPTIONS
    for kind, _, value in sink.special:
        if kind == _HOST:
            if host is not None:
                raise ambiguous("more than one Host")
            host = value
        elif kind == _CONNECTION:
            words = options_of(value)
            if words is None:
                raise malformed("a Connection field that is no list of names")
            named = named | words if named else words
        elif kind == _LENGTH:
            if length is not None:
                raise ambiguous("more than one Content-Length")
            length = value
        elif kind == _CODING:
            if coding is not None:
                raise ambiguous("more than one Transfer-Encoding")
            coding = value
        elif kind == _UPGRADE:
            if upgrade is not None:
                raise ambiguous("more than one Upgrade")
            upgrade = value
        elif kind == _EXPECT:
            if expect is not None:
                raise ambiguous("more than one Expect")
            expect = value
        elif kind == _TE:
            te_trailers = te_trailers or b"trailers" in (tokens(value) or ())
        elif kind == _TWIN:
            raise ambiguous("a field that spells another one with an underscore")
        elif kind == _INVALID:
            raise malformed("a field name that is no token")
    if host is None:
        raise malformed("no Host")
    if not is_host(host):
        raise malformed("a Host that is no host")
    body = _body(length, coding, http10)
    if expect is not None and expect.lower() != b"100-continue":
        raise Refusal(417, "expectation-unknown", "an Expect other than 100-continue")
    headers = sink.plain
    if not named <= LIFETIME:
        if not _LOAD_BEARING.isdisjoint(named):
            raise ambiguous("Connection names a field that the message needs")
        headers = sink.without(named)
    head = RequestHead(
        method,
        target,
        host,
        headers,
        body,
        b"" if http10 else _upgrade(upgrade, named, is_plain=method == b"GET" and not body),
        expect is not None and body != NO_BODY and not http10,
        http10,
        te_trailers and not http10,
    )
    if http10:
        return head, b"keep-alive" in named and b"close" not in named
    return head, b"close" not in named


def _body(length: bytes | None, coding: bytes | None, http10: bool) -> int:
    if coding is not None:
        if length is not None:
            raise ambiguous("Content-Length together with Transfer-Encoding")
        if http10:
            raise ambiguous("Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise Refusal(501, "coding-unsupported", "a Transfer-Encoding other than chunked")
        return UNKNOWN_LENGTH
    if length is None:
        return NO_BODY
    if not is_length(length):
        raise malformed("a Content-Length that is no plain number")
    return int(length)


def _upgrade(value: bytes | None, named: frozenset[bytes], *, is_plain: bool) -> bytes:
    if value is None or b"upgrade" not in named or not is_protocol(value):
        return b""
    for each in value.lower().split(b","):
        word = each.strip(b" \t")
        # A WebSocket begins with a GET without a body (RFC 6455 4.1). Servers that would upgrade
        # lose the body of anything else (uvicorn with httptools): it goes on as a plain request.
        if word.startswith(_NO_TUNNEL) or (word == b"websocket" and not is_plain):
            return b""
    return value
