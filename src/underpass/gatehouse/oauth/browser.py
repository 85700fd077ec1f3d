"""The browser in which a sign-in takes place: its cookie, and the seal on what its form sends.

A form is believed when it comes from our own page in the very browser that was shown it: the seal
is a MAC over the cookie and the request that the page was about, and ``Origin`` must be ours.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from underpass.guard.oauth.place import OWN

_BARE: Final = "underpass-browser"
_SECURE: Final = "__Host-" + _BARE
"""With this prefix browsers take the cookie from this very host alone. Under any other name the
tunnel next door (``evil.relay.example`` beside ``tools.relay.example``) could plant its own, and
move a sign-in into somebody else's browser. The price is that its path is ``/``."""
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""256 bits, as ``fresh`` makes them."""
COOKIE_SECONDS: Final = 900


class Browsers:
    """Tells browsers apart; its key lives as long as the process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def read(self, headers: Headers, *, secure: bool) -> str:
        """What the browser showed; "" for none, one that cannot be ours, or several: then one of
        them is somebody else's. What the origin's cookies look like makes no difference."""
        pairs = (
            part.strip().partition("=")
            for line in headers.getlist("cookie")
            for part in line.split(";")
        )
        found = [value for name, _, value in pairs if name == _name(secure)]
        return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else ""

    def fresh(self) -> str:
        """A value for a browser that has none."""
        return secrets.token_urlsafe(32)

    def set(self, response: Response, browser: str, *, secure: bool) -> None:
        """Have the browser keep ``browser``: it opens nothing without an address that only our own
        pages were told."""
        response.set_cookie(
            _name(secure),
            browser,
            max_age=COOKIE_SECONDS,
            path="/" if secure else OWN,
            secure=secure,
            httponly=True,
            # Lax: the way back from an outside provider is a navigation from another site.
            samesite="lax",
        )

    def seal(self, browser: str, query: str) -> str:
        """The seal for a page about ``query`` in ``browser``."""
        text = f"{len(browser)}:{browser}:{query}".encode()
        return hmac.digest(self._key, text, sha256).hex()

    def is_sealed(self, browser: str, query: str, seal: str) -> bool:
        """Whether ``seal`` is the one for them."""
        expected = self.seal(browser, query).encode()
        return bool(browser) and hmac.compare_digest(expected, seal.encode("utf-8", "replace"))


def address_of(request: Request) -> str:
    """Where a visitor is, "" when nobody vouches for it."""
    return "" if request.client is None else request.client.host


def is_own_page(headers: Mapping[str, str], issuer: str) -> bool:
    """Whether a form was sent by a page of ours, as far as the browser says so."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    return origin == issuer and site in (None, "same-origin")


def _name(secure: bool) -> str:
    return _SECURE if secure else _BARE
