"""Secrets among a program's words: which they are, and texts without them. Pure.

Everybody on a machine reads everybody's words, so a secret there is a finding of its own. It is
never told which one it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from underpass.guard.redact import REDACTED, Redactor

IN_WORDS: Final = "a secret stands among its words, where everybody on this machine reads it"

_OPTION: Final = re.compile(
    r"--?(?:[\w-]*(?:token|secret|passw(?:or)?d|passphrase|credentials-contents|(?:auth|api|access)"
    r"[_-]?key)[\w-]*|auth|basic-auth|header|http-?pw?d|user-pass)",
    re.IGNORECASE,
)
_FILE: Final = re.compile(r"[_-](?:file|path|env|name)\Z", re.IGNORECASE)
# --token-file names where it is, and not what it is.

_SHORT: Final = {"bore": ("-s",), "frpc": ("-t",)}
_USER: Final = re.compile(r"([^@\s:/]{4,128})\+\w{1,16}@\S+")
# pinggy: TOKEN+http@a.pinggy.io

_PASSWORD: Final = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")


def secrets_of(name: str, words: Sequence[str]) -> list[str]:
    """The words, or parts of words, that are secrets of a program of this name."""
    found = []
    rest = iter(words[1:])
    for word in rest:
        key, equals, value = word.partition("=")
        is_secret = _OPTION.fullmatch(key) and not _FILE.search(key)
        if is_secret or key in _SHORT.get(name, ()):
            found.append(value if equals else next(rest, ""))
        elif match := _USER.fullmatch(word) or _PASSWORD.search(word):
            found.append(match[1])
    return [each for each in found if each]


def clean(text: str, secrets: Sequence[str]) -> str:
    """``text`` on one printable line, without any of ``secrets`` or what looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    text = "".join(each if each.isprintable() else "?" for each in text)
    return Redactor().scrub(text)
