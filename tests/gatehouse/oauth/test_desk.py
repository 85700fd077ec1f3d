"""The desk: how fast strangers may register, and that documents are asked for once."""

from __future__ import annotations

import json
from typing import Any

from underpass.gatehouse.oauth.desk import (
    FETCH_BURST,
    REGISTRATION_BURST,
    REGISTRATION_REFILL_SECONDS,
    OAuthDesk,
)
from underpass.gatehouse.oauth.documents import Documents, DocumentUnusable
from underpass.guard.oauth.books import DOCUMENT_SECONDS, Books
from underpass.guard.oauth.records import Client

TOLD = json.dumps(
    {"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}
).encode()


class Shelf(Documents):
    """Documents that the test wrote."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.there = True

    def allow_loopback(self, is_allowed: bool) -> None:
        self.is_allowed = is_allowed

    async def fetch(self, url: str) -> Client:
        self.asked.append(url)
        if not self.there:
            raise DocumentUnusable
        return Client(url, "Documented", ("http://127.0.0.1/cb",), origin="document")


class Site:
    """A desk on the test's clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.shelf = Shelf()
        books = Books(now=lambda: self.now, lease_left=lambda: 3600.0)
        self.desk = OAuthDesk(
            books, tunnel="t", owner="alice", documents=self.shelf, lease_end=lambda: 0.0
        )
        self.desk.rebase("https://tools.example.com")


def test_strangers_cannot_register_without_end():
    site = Site()
    answers = [site.desk.register(TOLD).status for _ in range(REGISTRATION_BURST + 3)]
    assert answers == [201] * REGISTRATION_BURST + [429] * 3
    site.now += REGISTRATION_REFILL_SECONDS
    assert [site.desk.register(TOLD).status for _ in range(2)] == [201, 429]


async def test_a_document_is_asked_for_once_in_a_while():
    site, url = Site(), "https://client.example.com/me"
    for _ in range(3):
        await site.desk.meet(url)
    assert site.shelf.asked == [url]
    known = site.desk.books.client(url)
    assert known is not None
    assert known.name == "Documented"
    site.now += DOCUMENT_SECONDS + 1
    await site.desk.meet(url)
    assert site.shelf.asked == [url, url]


async def test_a_document_that_was_taken_away_lets_nobody_in_any_more():
    site, url = Site(), "https://client.example.com/me"
    await site.desk.meet(url)
    assert site.desk.books.client(url) is not None
    site.now, site.shelf.there = site.now + DOCUMENT_SECONDS + 1, False
    await site.desk.meet(url)
    assert site.desk.books.client(url) is None


async def test_strangers_cannot_have_us_fetch_without_end():
    site = Site()
    for number in range(2 * FETCH_BURST):
        await site.desk.meet(f"https://victim.example.com/{number}", "203.0.113.7")
    assert len(site.shelf.asked) == FETCH_BURST // 3
    for number in range(2 * FETCH_BURST):
        await site.desk.meet(f"https://victim.example.com/{number}", f"198.51.100.{number}")
    assert len(site.shelf.asked) == FETCH_BURST


def test_one_stranger_leaves_registrations_to_others():
    site = Site()
    answers = [site.desk.register(TOLD, "203.0.113.7").status for _ in range(REGISTRATION_BURST)]
    assert answers.count(201) == REGISTRATION_BURST // 3
    assert site.desk.register(TOLD, "198.51.100.1").status == 201


async def test_what_is_no_address_is_not_fetched():
    site = Site()
    for client_id in ("", "abc", "ftp://x/y", "httpsx://y", "x https://y"):
        await site.desk.meet(client_id)
    assert site.shelf.asked == []


def test_loopback_documents_are_for_tunnels_that_are_public_here_only():
    site = Site()
    assert site.shelf.is_allowed is False
    site.desk.rebase("http://127.0.0.1:4711")
    assert site.shelf.is_allowed is True


def test_closing_voids_everything():
    site: Any = Site()
    site.desk.close()
    assert site.desk.waiting() == ()
    assert site.desk.decide("BCDF-GHJK", approve=True) is None
    assert site.desk.books.statistics().grants == 0
