"""What an MCP server's answers need on their way out, so that it serves under a public name.

A stock server believes that it is ``localhost:3001``. Its Host and Origin are set right by
``admission``; here its answers are: redirects, challenges, the documents by which clients discover
it, and the address that the oldest transport announces. Everything else, and every stream, passes
at once and unread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from underpass.gatehouse.mcp.addresses import OwnAddresses, public_bases
from underpass.gatehouse.mcp.attended import Attended
from underpass.gatehouse.mcp.documents import ask_whole, is_document
from underpass.gatehouse.mcp.resources import MAX_LEARNED, Resources
from underpass.gatehouse.ports import Visitor
from underpass.gatehouse.rewrite import origin_host
from underpass.http.messages import Headers, RequestHead
from underpass.model.origin import Origin

log = logging.getLogger(__name__)


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
        return visitor if base is None else Attended(visitor, self, head, target, base)

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
