"""The authorization server's pages as the gatehouse serves them (``inner_app.Pages``)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from underpass.gatehouse.oauth.app import build_oauth_app
from underpass.gatehouse.oauth.desk import OAuthDesk
from underpass.guard.checks import Gate, IpGate
from underpass.guard.oauth.errors import OAuthNeedsTls
from underpass.guard.oauth.place import is_confidential
from underpass.model.errors import UnderpassError

if TYPE_CHECKING:
    from underpass.guard.oauth.keeping import ClientKeeper

log = logging.getLogger(__name__)


class OAuthDoor:
    """Serves ``desk``; keeps its admitted clients with ``keeper``."""

    def __init__(self, desk: OAuthDesk, keeper: ClientKeeper | None) -> None:
        self.app = build_oauth_app(desk)
        self.networks: tuple[tuple[Gate, ...], ...] = ((),)
        """For each way in by token, the ``ip`` gates on it: one whole way must admit."""
        self._desk = desk
        self._keeper = keeper
        self.takes = desk.takes

    def admits(self, address: str) -> bool:
        """See ``Pages``."""
        return any(
            all(isinstance(gate, IpGate) and gate.admits(address) for gate in way)
            for way in self.networks
        )

    def rebase(self, public_url: str) -> None:
        """See ``Pages``. Raises ``OAuthNeedsTls``; an engine that moves a tunnel which was public
        already hears nothing of it, but nobody passes any more."""
        desk, books = self._desk, self._desk.books
        former = books.place
        if not is_confidential(public_url):
            desk.close()
            books.place = None
            if former is not None:
                log.error("the tunnel has moved to plain HTTP: its oauth gate admits nobody there")
                return
            raise OAuthNeedsTls(public_url)
        desk.rebase(public_url)
        place = books.place
        assert place is not None
        if former == place:
            return
        if former is not None:
            log.warning("the public URL has changed: every sign-in and registration is void")
        books.on_clients = self._save
        if self._keeper is not None:
            books.recall(self._keeper.load(place.issuer))

    def _save(self) -> None:
        place = self._desk.books.place
        if self._keeper is None or place is None:
            return
        try:
            self._keeper.save(place.issuer, self._desk.books.admitted())
        except UnderpassError as error:
            log.warning("%s; clients must register anew next time", error.message)
