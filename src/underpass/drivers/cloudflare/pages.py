"""What Cloudflare's edge answers visitors in a tunnel's place: each page's cause, and what helps.
Pure.

The edge tells its own numbers in pages of many shapes; the shortest, for programs, is the text
``error code: 1033``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NUMBER: Final = re.compile(r"\b[Ee]rror(?: code:?)? ?(1\d{3})\b")

_WAIT: Final = "ask less often, or let another engine carry it"

_BY_NUMBER: Final = {
    "1010": ("a rule about browsers turns programs away", "skip it for this name in the zone"),
    "1015": ("it limits how often this address may ask", _WAIT),
    "1016": ("the name's record leads nowhere", "is it a CNAME to TUNNEL.cfargotunnel.com?"),
    "1020": ("a firewall rule of the zone turns this request away", "skip it for this name"),
    "1033": (
        "the name leads to a tunnel that no cloudflared is connected for",
        "is it this tunnel's? `underpass changes` tells where the record should lead",
    ),
}

_BY_STATUS: Final = {
    413: ("the body is over what the zone's plan lets through", "send less at once"),
    502: ("cloudflared reached nobody behind it", "wait until it is started anew"),
    524: (
        "the first byte of an answer did not come within 100 s",
        "send an early byte, or let another engine carry slow answers",
    ),
    530: ("it cannot bring visitors to the tunnel", "is the tunnel's record right?"),
}


def read_page(status: int, fields: Mapping[str, str], body: str) -> str:
    """See ``ReadsPages``."""
    if fields.get("cf-mitigated") == "challenge":
        return (
            "Cloudflare asks for a browser (a challenge); skip bot rules for this name in the zone"
        )
    match = _NUMBER.search(body) if status >= 400 else None
    known = _BY_NUMBER.get(match[1]) if match else None
    is_theirs = match or "cf-ray" in fields or status == 530
    cause, fix = known or (_BY_STATUS.get(status, ("", "")) if is_theirs else ("", ""))
    if not cause:
        return ""
    number = f"error {match[1]}" if match and known else f"status {status}"
    return f"Cloudflare: {cause} ({number}); {fix}"
