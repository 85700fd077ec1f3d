"""A person with a browser, played by an HTTP client: reads pages, sends forms, keeps cookies.

What she sees is what is in the pages; she goes where they lead, one step at a time.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2

from underpass.guard.oauth.signins import ALPHABET

CODE = re.compile(rf"\b[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}\b")


class Form(HTMLParser):
    """The one form of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found["action"]
        elif tag == "input" and "name" in found:
            self.fields[found["name"]] = found.get("value", "")
        elif tag == "button" and "name" in found:
            self.buttons.append((found["name"], found.get("value", "")))


class Person:
    """One browser."""

    def __init__(self) -> None:
        self.http = httpx2.AsyncClient(trust_env=False, timeout=20)
        self.page = httpx2.Response(200)
        self.at = ""
        self.code_before = ""
        """The last code that a page showed which she has left."""

    async def visit(self, url: str) -> httpx2.Response:
        """Go to ``url``; a redirect is not followed."""
        found = CODE.search(self.page.text)
        self.code_before = found[0] if found else self.code_before
        self.at = url
        self.page = await self.http.get(url)
        return self.page

    async def answer(self, word: str = "yes") -> httpx2.Response:
        """Press the button ``word`` of the page's form; go where the answer leads."""
        form = Form(self.page.text)
        assert ("answer", word) in form.buttons, self.page.text
        origin = httpx2.URL(self.at).copy_with(raw_path=b"").join("/")
        self.page = await self.http.post(
            urljoin(self.at, form.action),
            data={**form.fields, "answer": word},
            headers={"Origin": str(origin).rstrip("/")},
        )
        if self.page.status_code == 303:
            await self.visit(urljoin(self.at, self.page.headers["location"]))
        return self.page

    async def fill_in(self, **words: str) -> httpx2.Response:
        """Fill in and send the form of another site's page; follow wherever that leads there."""
        form = Form(self.page.text)
        where = urljoin(self.at, form.action)
        self.page = await self.http.post(where, data={**form.fields, **words})
        self.at = where
        return self.page

    @property
    def fields(self) -> dict[str, str]:
        """What the page's form would send by itself."""
        return Form(self.page.text).fields

    @property
    def code(self) -> str:
        """The code that the page shows."""
        found = CODE.search(self.page.text)
        assert found is not None, self.page.text
        return found[0]

    @property
    def leads_to(self) -> str:
        """Where the page goes by itself."""
        if "location" in self.page.headers:
            return urljoin(self.at, self.page.headers["location"])
        found = re.search(r'http-equiv="refresh" content="\d+; url=([^"]*)"', self.page.text)
        assert found is not None, self.page.text
        return urljoin(self.at, unescape(found[1]))

    @property
    def leads_to_or_nothing(self) -> str:
        """Where a redirect leads; "" when the page is none."""
        return self.leads_to if self.page.is_redirect else ""

    async def go_on_by_link(self) -> httpx2.Response:
        """Press the page's only link."""
        found = re.search(r'<a href="([^"]*)"', self.page.text)
        assert found is not None, self.page.text
        return await self.visit(urljoin(self.at, unescape(found[1])))

    async def go_on(self) -> httpx2.Response:
        """Go where the page leads."""
        return await self.visit(self.leads_to)

    async def close(self) -> None:
        await self.http.aclose()
