"""Coming to a public name as a stranger does: no credential, one request, one answer."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import httpx2

SECONDS: Final = 10.0
LOGIN_PATH: Final = "/cdn-cgi/access/"


async def is_stopped_outside(url: str) -> bool | None:
    """Whether Access, and not our gatehouse, answers a stranger; None: nobody did."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    # RFC 6761: names below localhost are loopback. Debian's getaddrinfo does not know it.
    at = "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host
    try:
        async with httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False) as client:
            answer = await client.get(
                f"https://{at}:{port}/",
                headers={"Host": parts.netloc, "User-Agent": "underpass-prover"},
                extensions={"sni_hostname": host},
            )
    except httpx2.HTTPError:
        return None
    return judge_answer(
        answer.status_code, {name.lower(): text for name, text in answer.headers.items()}
    )


def judge_answer(status: int, fields: dict[str, str]) -> bool:
    """The same for an answer, its fields in lower case. Pure."""
    if "underpass-error" in fields:
        return False
    if status in (302, 303):
        return LOGIN_PATH in fields.get("location", "")
    return status in (401, 403) and "cf-access-domain" in fields
