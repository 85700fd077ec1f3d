"""One visitor of an MCP server, whose answer is set right before it gets it.

A document is held until it is whole, at most ``documents.LONGEST`` bytes; the oldest
transport's first event at most until it is complete; nothing else waits.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from underpass.gatehouse.mcp.documents import (
    LONGEST,
    changed_fields,
    has_already,
    may_change,
    move_document,
)
from underpass.gatehouse.mcp.endpoint import EndpointEvent
from underpass.gatehouse.mcp.eras import Era, era_of
from underpass.gatehouse.mcp.heads import move_fields
from underpass.gatehouse.own_answers import ERROR_FIELD
from underpass.gatehouse.ports import Visitor
from underpass.http.messages import UNKNOWN_LENGTH, Headers, RequestHead, ResponseHead, lookup
from underpass.http.sse import may_comment

if TYPE_CHECKING:
    from underpass.gatehouse.mcp.care import McpCare

SIGNED_NOTE: Final = (b"Underpass-Note", b"signed-document-not-rewritten")


class Attended:
    """A visitor whose answer is set right before it gets it (``ports.Visitor``)."""

    __slots__ = (
        "_base",
        "_body",
        "_care",
        "_document",
        "_endpoint",
        "_head",
        "_target",
        "_visitor",
        "abort",
        "drained",
        "send_data",
        "send_end",
        "send_informational",
        "send_trailers",
        "stop",
    )

    def __init__(
        self, visitor: Visitor, care: McpCare, head: RequestHead, target: bytes, base: str
    ) -> None:
        self._visitor = visitor
        self._care = care
        self._head = head
        self._target = target
        self._base = base
        self._document: ResponseHead | None = None
        self._body = b""
        self._endpoint: EndpointEvent | None = None
        # Bound here, so that nothing stands in the way of what streams.
        self.abort = visitor.abort
        self.drained = visitor.drained
        self.send_data = visitor.send_data
        self.send_end = visitor.send_end
        self.send_informational = visitor.send_informational
        self.send_trailers = visitor.send_trailers
        self.stop = visitor.stop

    @property
    def room(self) -> int:
        """See ``Visitor``."""
        return self._visitor.room

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """See ``Visitor``; a document is held until it is whole."""
        if lookup(head.headers, ERROR_FIELD) is not None:  # an answer of our own
            self._visitor.send_head(head, body, end=end)
            return
        if head.status == 401:
            self._care.learn(head.headers)
        origin = lookup(self._head.headers, b"origin")
        headers = move_fields(head.headers, self._move, self._care.own_origin, origin)
        if headers is not head.headers:
            head = _with(head, headers)
        if self._head.method in (b"GET", b"HEAD") and self._care.is_document(self._target):
            if self._hold(head, body, end=end):
                return
        elif era_of(self._head) is Era.EVENTS and may_comment(head):
            self._endpoint = EndpointEvent(self._move)
            self._visitor.send_head(head)
            self._divert()
            if body:
                self.send_data(body)
            if end:
                self.send_end()
            return
        self._visitor.send_head(head, body, end=end)

    def _move(self, url: str) -> str | None:
        path = self._care.addresses.path_of(url)
        return None if path is None else self._base + path

    def _divert(self) -> None:
        self.send_data = self._take_data
        self.send_end = self._take_end

    def _pass_again(self) -> None:
        self.send_data = self._visitor.send_data
        self.send_end = self._visitor.send_end

    # A document.

    def _hold(self, head: ResponseHead, body: bytes, *, end: bool) -> bool:
        """Whether the answer was taken here."""
        if not may_change(head):
            return False
        if self._head.method == b"HEAD":
            # What it would say of the changed bytes is not known without them.
            self._visitor.send_head(_with(head, _unsized(head.headers), UNKNOWN_LENGTH), end=end)
            return True
        self._document = head
        self._divert()
        if body:
            self.send_data(body)
        if end:
            self.send_end()
        return True

    def _take_data(self, data: bytes) -> bool:
        if self._endpoint is not None:
            passed = self._endpoint.receive_data(data)
            if self._endpoint.is_over:
                self._pass_again()
            return self._visitor.send_data(passed) if passed else self._visitor.room > 0
        self._body += data
        if len(self._body) <= LONGEST:
            return True
        assert self._document is not None
        self._pass_again()
        self._visitor.send_head(self._document)
        held, self._body = self._body, b""
        return self._visitor.send_data(held)

    def _take_end(self) -> None:
        self._pass_again()
        if self._endpoint is not None:
            rest = self._endpoint.take_rest()
            if rest:
                self._visitor.send_data(rest)
            self._visitor.send_end()
            return
        head = self._document
        assert head is not None
        moved = move_document(self._body, self._move)
        headers = head.headers
        if moved.what == "moved":
            self._care.resources.learn(moved.urls)
            headers = changed_fields(headers, b'"%s"' % _digest(moved.body))
        elif moved.what == "signed":
            self._care.note_signed(self._target)
            headers = [*headers, SIGNED_NOTE]
        if has_already(self._head, lookup(headers, b"etag")):
            answer = ResponseHead(304, b"Not Modified", _of_304(headers), UNKNOWN_LENGTH)
            self._visitor.send_head(answer, end=True)
            return
        self._visitor.send_head(_with(head, headers, len(moved.body)), moved.body, end=True)


def _with(head: ResponseHead, headers: Headers, body: int | None = None) -> ResponseHead:
    size = head.body if body is None else body
    return ResponseHead(head.status, head.reason, headers, size, head.upgrade)


def _digest(body: bytes) -> bytes:
    return sha256(body).hexdigest()[:32].encode()


def _unsized(headers: Headers) -> Headers:
    return [field for field in headers if field[0].lower() not in (b"etag", b"last-modified")]


def _of_304(headers: Headers) -> Headers:
    return [field for field in headers if not field[0].lower().startswith(b"content-")]
