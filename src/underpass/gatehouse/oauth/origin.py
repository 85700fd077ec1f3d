"""No pages of our own, for an origin that brings its own OAuth (``inner_app.Pages``).

Its documents and challenges name the origin's private address; on mcp tunnels ``mcp.care`` moves
them to the public one, as it does whichever gate stands there.
"""

from __future__ import annotations

import logging

from underpass.gatehouse.inner_exchange import AsgiApp, Message
from underpass.guard.oauth.errors import OAuthNeedsTls
from underpass.guard.oauth.origin_gate import OriginOAuthGate
from underpass.guard.oauth.place import is_confidential, place_of

log = logging.getLogger(__name__)


class OriginPages:
    """Tells the gate where the tunnel is; takes nothing."""

    def __init__(self, gate: OriginOAuthGate, path: str) -> None:
        self._gate = gate
        self._path = path

    @property
    def app(self) -> AsgiApp:
        """See ``Pages``; never asked."""
        return _nothing

    def takes(self, target: bytes) -> bool:
        """Everything is the origin's."""
        return False

    def admits(self, address: str) -> bool:
        """There is nothing to see."""
        return False

    def rebase(self, public_url: str) -> None:
        """See ``Pages``. Raises ``OAuthNeedsTls`` for the first address; see ``OAuthDoor``."""
        former = self._gate.place
        if is_confidential(public_url):
            self._gate.place = place_of(public_url, self._path)
            return
        self._gate.close()
        if former is None:
            raise OAuthNeedsTls(public_url)
        log.error("the tunnel has moved to plain HTTP: its oauth gate admits nobody there")


async def _nothing(scope: Message, receive: object, send: object) -> None:
    """Answers nothing."""
