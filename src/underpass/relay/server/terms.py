"""Whether what a connector says of its tunnel makes sense at the public side. Pure.

The signature shows who said it; it does not make it well-formed.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from underpass.relay.protocol.records import Terms

KINDS: Final = ("http", "mcp", "tcp")
MOST_CIDRS: Final = 256
LONGEST_WORDS: Final = 200
"""Owner and purpose: one line of a table each, as in the spec."""


def flaw_of(terms: Terms) -> str:
    """What is wrong with ``terms``, or an empty string."""
    if terms.kind not in KINDS:
        return "the kind is none of http, mcp and tcp"
    if terms.tls not in ("terminate", "passthrough"):
        return "tls is neither terminate nor passthrough"
    if terms.exposure not in ("gated", "open"):
        return "the exposure is neither gated nor open"
    if terms.kind == "tcp" and terms.tls == "passthrough":
        return "a tcp tunnel has no tls to pass through"
    if len(terms.gates) not in (0, 32):
        return "the hash of the gates is not a SHA-256"
    if len(terms.owner) > LONGEST_WORDS or len(terms.purpose) > LONGEST_WORDS:
        return "owner or purpose is too long"
    if len(terms.allow) > MOST_CIDRS:
        return f"more than {MOST_CIDRS} address ranges"
    for cidr in terms.allow:
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            return "an address range is no CIDR"
    return ""
