"""The grammar of heads, as white lists: what a token, a target, a Host and a value may hold.

Both directions use it: readers refuse what does not match, writers raise. Nothing here is lenient:
where RFC 9110 and RFC 9112 leave a choice, the narrower side is taken, so that no two parsers
behind us can read the same bytes in two ways.
"""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

FORBIDDEN: Final = bytes([*range(9), 11, 12, *range(14, 32), 127])
"""Control bytes that no head may hold anywhere; TAB, CR and LF are judged where they stand."""

is_token: Final = re.compile(TOKEN).fullmatch
is_method: Final = re.compile(rb"[A-Z][A-Z-]{0,31}").fullmatch
# Methods are case-sensitive and every registered one is upper case: "get" is not GET.

is_target: Final = re.compile(
    # One slash first: "//host" names an authority to whoever resolves it (CVE-2026-45568), and a
    # backslash in the path is a slash to some (WHATWG URL). Raw "#" and bytes above 0x7e are no
    # part of a target. In the query a backslash is data: browsers send it raw.
    rb"(?:/(?!/)[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]*(?:\?[\x21\x22\x24-\x7e]*)?|\*)"
).fullmatch
is_host: Final = re.compile(
    # A name, an IPv4 address or a bracketed IPv6 address, then perhaps a port. No user, no
    # percent-encoding, no empty host, no empty port.
    rb"(?:[0-9A-Za-z_](?:[0-9A-Za-z_.-]{0,253}[0-9A-Za-z_.])?|\[[0-9A-Fa-f:.]{2,45}\])"
    rb"(?::[0-9]{1,5})?"
).fullmatch
is_length: Final = re.compile(rb"0|[1-9][0-9]{0,17}").fullmatch
# 18 digits stay below 2**63; a sign, a comma, an underscore or a leading zero is refused.
is_value: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
is_protocol: Final = re.compile(
    TOKEN + rb"(?:/" + TOKEN + rb")?(?:[ \t]*,[ \t]*" + TOKEN + rb"(?:/" + TOKEN + rb")?)*"
).fullmatch


def tokens(value: bytes) -> list[bytes] | None:
    """The comma list ``value`` in lower case, or None when it is not one of tokens."""
    found = []
    for part in value.lower().split(b","):
        word = part.strip(b" \t")
        if not word:
            continue
        if not is_token(word):
            return None
        found.append(word)
    return found
