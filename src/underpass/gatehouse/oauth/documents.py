"""Client ID Metadata Documents: a client whose id is the address of what it says about itself."""

from __future__ import annotations

import asyncio
import re
from typing import Final
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error

from underpass.gatehouse.oauth.fetch import Fetcher, FetchRefused
from underpass.guard.oauth.records import Client
from underpass.guard.oauth.registration import read_document

MAX_AT_ONCE: Final = 4
"""Fetches under way for strangers, who must not make us a source of traffic."""

MAX_FAILURES: Final = 256
FAILURE_SECONDS: Final = 30.0


class DocumentUnusable(Exception):
    """There is no usable document at that address."""


class Documents:
    """Fetches and reads clients' documents."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._under_way = 0
        self._failed: dict[str, float] = {}

    def allow_loopback(self, is_allowed: bool) -> None:
        """Whether documents may be on this machine, too: for tunnels that are public only here."""
        self._fetcher.loopback = is_allowed

    async def fetch(self, url: str) -> Client:
        """The client whose id is ``url``. Raises ``DocumentUnusable``."""
        now = asyncio.get_running_loop().time()
        if now < self._failed.get(url, 0.0) or self._under_way >= MAX_AT_ONCE:
            raise DocumentUnusable
        try:
            self._fetcher.check(url)
        except FetchRefused:
            raise DocumentUnusable from None
        if urlsplit(url).path in ("", "/") or _has_dots(url):
            raise DocumentUnusable
        self._under_way += 1
        try:
            told = await self._fetcher.get(url)
            if not isinstance(told, dict):
                raise DocumentUnusable
            return read_document(told, url)
        except (FetchRefused, OAuth2Error, DocumentUnusable):
            self._failed.pop(url, None)
            while len(self._failed) >= MAX_FAILURES:
                del self._failed[next(iter(self._failed))]
            self._failed[url] = now + FAILURE_SECONDS
            raise DocumentUnusable from None
        finally:
            self._under_way -= 1

    @property
    def failures(self) -> int:
        """How many addresses are remembered as unusable."""
        return len(self._failed)

    async def close(self) -> None:
        """Nothing is kept open between fetches."""


def _has_dots(url: str) -> bool:
    path = re.sub("%2e", ".", urlsplit(url).path, flags=re.IGNORECASE)
    return any(segment in (".", "..") for segment in path.split("/"))
