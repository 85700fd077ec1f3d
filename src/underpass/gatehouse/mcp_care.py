"""What an MCP server's answers need on their way out, so that it serves under a public name.

A stock server believes that it is ``localhost:3001``. Its Host and Origin are set right by
``admission``; here its answers are: redirects, challenges, the documents by which clients discover
it, and the address that the oldest transport announces. Everything else, and every stream, passes
at once and unread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from underpass.gatehouse.mcp_addresses import OwnAddresses, public_bases
from underpass.gatehouse.mcp_documents import (
    LONGEST,
    ask_whole,
    changed_fields,
    has_already,
    is_document,
    may_change,
    move_document,
)
from underpass.gatehouse.mcp_endpoint import EndpointEvent
from underpass.gatehouse.mcp_eras import Era, era_of
from underpass.gatehouse.mcp_heads import move_fields
from underpass.gatehouse.mcp_resources import MAX_LEARNED, Resources
from underpass.gatehouse.own_answers import ERROR_FIELD
from underpass.gatehouse.ports import Visitor
from underpass.gatehouse.rewrite import origin_host
from underpass.http.messages import (
    UNKNOWN_LENGTH,
    Headers,
    RequestHead,
    ResponseHead,
    lookup,
)
from underpass.http.sse import may_comment
from underpass.model.origin import Origin

log = logging.getLogger(__name__)

SIGNED_NOTE: Final = (b"Underpass-Note", b"signed-document-not-rewritten")


class McpCare:
    """One tunnel's knowledge of what its MCP server is called, inside and in public."""

    def __init__(self, origin: Origin, tunnel: str) -> None:
        self.addresses = OwnAddresses(origin)
        self.own_origin = b"http://" + origin_host(origin)
        """What the server is told as Origin."""
        self.resources = Resources(self.addresses)
        self._tunnel = tunnel
        self._bases: dict[bytes, str] = {}
        self._learned: set[str] = set()
        self._told_signed = False

    def set_public_urls(self, urls: Iterable[str]) -> None:
        """Say under which URLs the tunnel is public."""
        self._bases = public_bases(urls, self._tunnel)

    def is_document(self, target: bytes) -> bool:
        """Whether ``target`` is a document to be moved: by its well-known path, or because a
        challenge of this server named it."""
        return is_document(target) or target.partition(b"?")[0].decode("latin-1") in self._learned

    def ask(self, head: RequestHead, target: bytes) -> RequestHead:
        """The request as it is put to the server."""
        if head.method in (b"GET", b"HEAD") and self.is_document(target):
            return ask_whole(head)
        return head

    def target(self, head: RequestHead, target: bytes) -> bytes:
        """``target`` as it is put to the server."""
        base = self._base(head, target)
        return target if base is None else self.resources.inward(target, base)

    def attend(self, visitor: Visitor, head: RequestHead, target: bytes) -> Visitor:
        """The visitor, with its answers set right. ``target`` is what the gates left of its own."""
        base = self._base(head, target)
        return visitor if base is None else _Attended(visitor, self, head, target, base)

    def _base(self, head: RequestHead, target: bytes) -> str | None:
        base = self._bases.get(head.host.lower()) or next(iter(self._bases.values()), None)
        if base is None:
            return None
        # Behind --gate link every path begins with the secret that this visitor already knows.
        return base + head.target.removesuffix(target).decode("latin-1")

    def learn(self, headers: Headers) -> None:
        """Remember where a challenge says that the metadata is."""
        for name, value in headers:
            if name.lower() != b"www-authenticate" or len(self._learned) >= MAX_LEARNED:
                continue
            _, _, rest = value.decode("latin-1").partition('resource_metadata="')
            path = self.addresses.path_of(rest.partition('"')[0])
            if path:
                self._learned.add(path.partition("?")[0])

    def note_signed(self, target: bytes) -> None:
        """Say once that a signed document still names the private address."""
        if not self._told_signed:
            self._told_signed = True
            log.warning(
                "%s is signed and names a local address: it is left as it is, and clients will not "
                "find it in public; have the server sign its public URL",
                target.partition(b"?")[0].decode("latin-1"),
            )


class _Attended:
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
