"""Two hundred strings that should never reach a program as anything but what they are.

Flags where a name is expected, shells' and configuration files' special characters, line breaks,
encodings of them, addresses that read differently to two readers. For each field that ends up in a
program's words or files: it is refused, or stays one harmless word.
"""

from __future__ import annotations

from typing import Final

_FLAGS: Final = (
    "-oProxyCommand=touch /tmp/owned",
    "-oProxyCommand=touch${IFS}/tmp/owned",
    "--config=/etc/passwd",
    "-F/etc/passwd",
    "-F",
    "-w",
    "-E/tmp/log",
    "-oPermitLocalCommand=yes",
    "--",
    "-",
    "--help",
    "-V",
    "-i/etc/shadow",
    "-oLocalCommand=id",
    "-oKnownHostsCommand=id",
    "--authtoken=x",
    "--log=/tmp/x",
    "-R0.0.0.0:22:localhost:22",
)

_SPECIALS: Final = (
    ";id",
    "|id",
    "&id",
    "&&id",
    "`id`",
    "$(id)",
    "${HOME}",
    "$HOME",
    "~root",
    "%h",
    "%r",
    "%%",
    "%d/x",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    ">x",
    "<x",
    "'",
    '"',
    "\\",
    "#x",
    "!x",
    "=x",
    ":",
    "::",
    "@",
    "@@",
    "a@b@c",
    "a:b@c",
    ",",
    ",,",
    "a,",
    " ",
    "\t",
    "a b",
    "\u00a0",
    "\u2028",
    "\u202e",
    "\ufeff",
)

_BREAKS: Final = (
    "\n",
    "\r",
    "\r\n",
    "\0",
    "\x0b",
    "\x0c",
    "\x1b[2J",
    "\x7f",
    "a\nProxyCommand id",
    "a\r\nX-Evil: 1",
    "a\0b",
    "%0a",
    "%00",
    "%0d%0a",
    "a%0aProxyCommand id",
)

_ADDRESSES: Final = (
    "http://evil@good",
    "good#@evil",
    "good\\@evil",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "127.1",
    "[::1",
    "::1]",
    "[::1]x",
    "a..b",
    ".a",
    "a.",
    "-a.b",
    "a-.b",
    "xn--",
    "a_b",
    "host:99999",
    "host:-1",
    "host:0x16",
    "host:22:22",
    "host:",
    ":22",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//host",
    "../../etc/passwd",
    "/etc/passwd",
    "a" * 254,
    ("a" * 64) + ".example",
    "\u0430pple.com",
    "ⅼocalhost",
)

HOSTILE: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        [
            *_FLAGS,
            *_SPECIALS,
            *_BREAKS,
            *_ADDRESSES,
            *(f"host{special}" for special in (*_SPECIALS, *_BREAKS)),
            *(f"{flag} host" for flag in _FLAGS),
            *(f"user@{flag}" for flag in _FLAGS),
            *(f"{special}@host" for special in _SPECIALS[:20]),
        ]
    )
)[:220]
"""In a fixed order, each once."""
