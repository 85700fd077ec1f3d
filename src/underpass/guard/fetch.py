"""Fetching a small public document by HTTP: bounded in size and time, and never led elsewhere."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from underpass.model.gate_arguments import is_fetchable

FETCH_SECONDS: Final = 5.0
MAX_DOCUMENT_BYTES: Final = 256 * 1024
# A large provider's key set has some 20 KiB.

_FIELDS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
# What is unpacked has no bound of ours: 64 KiB can make 64 MiB in one step.


class FetchFailed(Exception):
    """It could not be had; the text says why, without anything that came."""


async def fetch_json(url: str) -> Any:
    """The JSON document at ``url`` (https, or http on loopback). Raises ``FetchFailed``."""
    # httpx2 costs as much as all the rest of a start: most tunnels never fetch.
    import httpx2

    if not is_fetchable(url):
        raise FetchFailed("only https is fetched, and http on loopback")
    body = bytearray()
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            # Not the environment's whole say: a .netrc would add credentials.
            httpx2.AsyncClient(
                follow_redirects=False, trust_env=False, proxy=_proxy(url), timeout=FETCH_SECONDS
            ) as client,
            client.stream("GET", url, headers=_FIELDS) as answer,
        ):
            if answer.status_code != 200:
                raise FetchFailed(f"status {answer.status_code}")
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("it is compressed, which was not asked for")
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise FetchFailed(f"it is larger than {MAX_DOCUMENT_BYTES} bytes")
    except TimeoutError:
        raise FetchFailed(f"no answer within {FETCH_SECONDS:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
        raise FetchFailed(type(error).__name__) from None
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise FetchFailed("it is no JSON") from None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for ``url``; none for this machine itself."""
    parts = urlsplit(url)
    if parts.scheme != "https" or urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get("https")
