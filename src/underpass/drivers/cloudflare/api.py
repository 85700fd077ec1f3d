"""Cloudflare's public API, version 4: one call, or all pages of a list.

Every answer has an envelope (``success``, ``errors``, ``result``, ``result_info``), which is opened
here. What is safe to ask twice is asked again after a fault; what creates is sent once. A wait that
the API asks for is kept when it is short, and told when it is long.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from underpass import __version__
from underpass.drivers.cloudflare.errors import (
    ApiAway,
    ApiLimited,
    ApiRefused,
    ApiStrange,
    ApiTokenRefused,
)
from underpass.guard.secrets import Secret

CALL_SECONDS: Final = 15.0
TRIES: Final = 3
LONGEST_WAIT: Final = 10.0
"""A ``Retry-After`` beyond this is told and not waited for."""
MAX_ANSWER: Final = 8 << 20
PER_PAGE: Final = 50
MAX_PAGES: Final = 40

_AGAIN: Final = frozenset(("GET", "PUT", "DELETE"))
_TOKEN_CODES: Final = frozenset((1000, 6003, 6111, 9103, 9106, 9109, 10000, 10001))
# "Invalid API Token", "Invalid request headers", "Unauthorized to access requested resource", …

Sleep = Callable[[float], Awaitable[None]]


class CloudflareApi:
    """One account's door. An async context manager."""

    def __init__(self, base: str, token: Secret, *, sleep: Sleep = asyncio.sleep) -> None:
        """``sleep`` is replaced by tests, which do not wait."""
        self.base = base
        self._sleep = sleep
        self._client = httpx2.AsyncClient(
            headers={
                "Authorization": f"Bearer {token.reveal()}",
                "User-Agent": f"underpass/{__version__}",
                "Accept": "application/json",
            },
            timeout=CALL_SECONDS,
            follow_redirects=False,  # the token goes nowhere else
        )

    def __repr__(self) -> str:
        return f"CloudflareApi({self.base!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def call(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Any:
        """One call; its ``result``. ``what`` says for people what it is for.

        Raises ``ApiTokenRefused``, ``ApiRefused``, ``ApiLimited``, ``ApiAway``, ``ApiStrange``.
        """
        return (await self._open(what, method, path, body, params)).get("result")

    async def pages(
        self, what: str, path: str, params: Mapping[str, str | int] | None = None
    ) -> list[dict[str, Any]]:
        """Everything in a list, page after page. Raises what ``call`` does."""
        found: list[dict[str, Any]] = []
        for page in range(1, MAX_PAGES + 1):
            asked = {**(params or {}), "page": page, "per_page": PER_PAGE}
            envelope = await self._open(what, "GET", path, None, asked)
            result = envelope.get("result") or []
            if not isinstance(result, list) or not all(isinstance(each, dict) for each in result):
                raise ApiStrange(what, "a list was asked for")
            found += result
            told = envelope.get("result_info")
            last = told.get("total_pages", 1) if isinstance(told, dict) else 1
            if not result or not isinstance(last, int) or page >= last:
                return found
        raise ApiStrange(what, f"the list has more than {MAX_PAGES} pages")

    async def _open(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        params: Mapping[str, str | int] | None,
    ) -> dict[str, Any]:
        for tries_left in reversed(range(TRIES)):
            try:
                answer = await self._client.request(
                    method, f"{self.base}{path}", json=body, params=params
                )
            except httpx2.HTTPError as error:
                if tries_left and method in _AGAIN:
                    await self._sleep(1.0)
                    continue
                raise ApiAway(what, _words(error)) from error
            if answer.status_code == 429:
                wait = _retry_after(answer)
                if not tries_left or wait > LONGEST_WAIT:
                    raise ApiLimited(what, wait)
                await self._sleep(wait)  # it was not carried out: any method may be sent again
            elif answer.status_code >= 500 and tries_left and method in _AGAIN:
                await self._sleep(1.0)
            else:
                return read_envelope(what, answer.status_code, answer.content)
        raise AssertionError("the last try returns or raises")


def read_envelope(what: str, status: int, content: bytes) -> dict[str, Any]:
    """The envelope of an answer that says yes. Pure; raises what it says otherwise."""
    if len(content) > MAX_ANSWER:
        raise ApiStrange(what, "it is too long")
    try:
        told = httpx2.Response(status, content=content).json()
    except ValueError:
        told = None
    if status >= 500:
        raise ApiAway(what, _reason(told) or f"status {status}")
    if not isinstance(told, dict):
        raise ApiStrange(what, f"status {status} without JSON")
    if status < 300 and told.get("success") is True:
        return told
    why = _reason(told) or f"status {status}"
    if status in (401, 403) or _codes(told) & _TOKEN_CODES:
        raise ApiTokenRefused(what, why)
    raise ApiRefused(what, why)


def _errors(told: object) -> list[dict[str, Any]]:
    errors = told.get("errors") if isinstance(told, dict) else None
    return [each for each in errors or [] if isinstance(each, dict)]


def _codes(told: object) -> set[object]:
    return {each.get("code") for each in _errors(told) if isinstance(each.get("code"), int)}


def _reason(told: object) -> str:
    texts = [f"{each.get('message', '')} ({each.get('code', '?')})" for each in _errors(told)]
    text = "; ".join(texts)[:300]
    return "".join(char if char.isprintable() else " " for char in text)


def _retry_after(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text[:6]) if text.isascii() and text.isdigit() else 60.0


def _words(error: Exception) -> str:
    # What a system call says begins with its number, which tells nobody anything.
    return re.sub(r"\A\[Errno -?\d+\] ", "", str(error))[:200] or type(error).__name__
