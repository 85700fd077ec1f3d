"""Writing structured messages as HTTP/1.1 bytes, trusting none of them.

Every head is judged again here, whoever made it: names are tokens, no value holds a control byte,
no framing or hop-by-hop field stands among the fields. Framing and connection fields are ours.
"""

from __future__ import annotations

from typing import Final

from underpass.http.body import BodyFraming, ChunkedBody, CloseDelimitedBody, NoBody, SizedBody
from underpass.http.errors import HeadInvalid
from underpass.http.grammar import FORBIDDEN, is_host, is_method, is_protocol, is_target
from underpass.http.messages import NO_BODY, UNKNOWN_LENGTH, Headers, RequestHead, ResponseHead
from underpass.http.names import Kind, kind_if_known, kind_of

__all__ = [
    "BodyFraming",
    "request_bytes",
    "request_framing",
    "response_bytes",
    "response_framing",
]

_EXPECTS_LENGTH: Final = frozenset((b"POST", b"PUT", b"PATCH"))
# RFC 9110 8.6: these say "Content-Length: 0" when they have no body.

_MOST_LENGTH: Final = 2**63 - 1

_NONE: Final[Headers] = []


def request_bytes(
    head: RequestHead,
    *,
    host: bytes | None = None,
    target: bytes | None = None,
    extra: Headers = _NONE,
) -> bytes:
    """The head as bytes for an origin; ``host`` and ``target`` stand in for the visitor's own,
    ``extra`` fields are added. Raises ``HeadInvalid``."""
    method = head.method
    if target is None:
        target = head.target
    if host is None:
        host = head.host
    if not is_method(method) or method == b"CONNECT":
        raise HeadInvalid("the method is none")
    if not is_target(target) or (target == b"*" and method != b"OPTIONS"):
        raise HeadInvalid("the target is not origin-form")
    if not is_host(host):
        raise HeadInvalid("the Host is no host")
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: " + host]
    _add_fields(lines, head.headers, twins=False)
    if extra:
        _add_fields(lines, extra, twins=False)
    body = head.body
    if body > 0:
        lines.append(b"Content-Length: %d" % _length(body))
    elif body == UNKNOWN_LENGTH:
        lines.append(b"Transfer-Encoding: chunked")
    elif body != NO_BODY:
        raise HeadInvalid("the body's length is negative")
    elif method in _EXPECTS_LENGTH:
        lines.append(b"Content-Length: 0")
    if head.upgrade:
        _add_upgrade(lines, head.upgrade, b"TE, " if head.te_trailers else b"")
    elif head.te_trailers:
        lines.append(b"Connection: TE")
    if head.te_trailers:
        lines.append(b"TE: trailers")
    if head.expect_continue and body != NO_BODY:
        lines.append(b"Expect: 100-continue")
    return _finish(lines)


def response_bytes(
    head: ResponseHead,
    *,
    method: bytes,
    http10: bool = False,
    keep_alive: bool = True,
    extra: Headers = _NONE,
) -> bytes:
    """The head as bytes for a visitor that sent a ``method`` request. ``keep_alive`` is the
    caller's wish; when ``response_framing`` says ``closes``, ``Connection: close`` is written
    whatever it is. Raises ``HeadInvalid``."""
    status = head.status
    if not 100 <= status <= 599:
        raise HeadInvalid("the status is none")
    lines = [b"HTTP/1.1 %d %b" % (status, head.reason)]
    _add_fields(lines, head.headers, twins=True)
    if extra:
        _add_fields(lines, extra, twins=True)
    if status < 200:
        if status == 101:
            _add_upgrade(lines, head.upgrade, b"")
        return _finish(lines)
    body = head.body
    if status != 204:
        if body >= 0:
            lines.append(b"Content-Length: %d" % _length(body))
        elif body != UNKNOWN_LENGTH:
            raise HeadInvalid("the body's length is negative")
        elif method != b"HEAD" and status != 304:
            if http10:
                keep_alive = False
            else:
                lines.append(b"Transfer-Encoding: chunked")
    if not keep_alive:
        lines.append(b"Connection: close")
    elif http10:
        lines.append(b"Connection: keep-alive")
    elif head.upgrade and status == 426:
        _add_upgrade(lines, head.upgrade, b"")
    return _finish(lines)


def request_framing(head: RequestHead) -> BodyFraming:
    """How the body of ``head`` is written after ``request_bytes``."""
    if head.body == UNKNOWN_LENGTH:
        return ChunkedBody()
    return SizedBody(head.body) if head.body else NoBody()


def response_framing(head: ResponseHead, *, method: bytes, http10: bool = False) -> BodyFraming:
    """How the body of ``head`` is written after ``response_bytes`` with the same arguments."""
    if head.status < 200 or head.status in (204, 304) or method == b"HEAD":
        return NoBody()
    if head.body == UNKNOWN_LENGTH:
        return CloseDelimitedBody() if http10 else ChunkedBody()
    return SizedBody(head.body) if head.body else NoBody()


def _add_fields(lines: list[bytes], headers: Headers, *, twins: bool) -> None:
    for name, value in headers:
        kind = kind_if_known(name)
        if kind is None:
            kind = kind_of(name)
        if kind and not (twins and kind == Kind.TWIN):
            raise HeadInvalid(f"a field among its fields is {kind.name.lower()}")
        lines.append(name + b": " + value)


def _add_upgrade(lines: list[bytes], protocol: bytes, also: bytes) -> None:
    if not is_protocol(protocol):
        raise HeadInvalid("the protocol to change to is none")
    lines.append(b"Connection: %bupgrade" % also)
    lines.append(b"Upgrade: " + protocol)


def _length(body: int) -> int:
    if body > _MOST_LENGTH:
        raise HeadInvalid("the body's length is beyond measure")
    return body


def _finish(lines: list[bytes]) -> bytes:
    """Join the lines, and prove that nobody's value has made lines of its own."""
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    ends = len(lines)
    if (
        head.count(b"\n") != ends
        or head.count(b"\r") != ends
        or len(head.translate(None, FORBIDDEN)) != len(head)
    ):
        raise HeadInvalid("a field holds a control byte")
    return head
