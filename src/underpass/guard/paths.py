"""Which rule a path falls under, and which paths no rule may judge. Pure.

A rule guards a path only as far as the origin reads that path as we do. So nothing is decoded or
tidied up here: a path that some servers would take for another (dot segments, double or encoded
slashes, ``;parameters``, needless or double encodings, letters that fold into others) is no path to
us at all, and one that would fall under another rule in lower case, or without letters that
nobody sees, is refused too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from underpass.model.gate_rules import folded, sort_key

Value = TypeVar("Value")

_REMEMBERED: Final = 4096
_LONGEST_REMEMBERED: Final = 256
# Together 2 MiB at most, whatever strangers ask for.

_SAFE: Final = rb"!\"$&'()*+,\-0-9:<=>@A-Z\[\]^_`a-z{|}~"
_PLAIN: Final = re.compile(rb"(?=/)(?:/[.%b]*[%b])*/?" % (_SAFE, _SAFE))
# What stands for itself everywhere: no percent sign, backslash, semicolon, "#" or "?"; no empty
# segment but the last, and none that ends with a dot.

_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_MEANINGFUL: Final = frozenset(b"/\\%;?#.")
"""What must not come out of an escape: it would end or climb a segment for whoever decodes it."""
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
"""What needs no escape: spelt with one it is the same path to some, and another to us."""


def is_plain(path: bytes) -> bool:
    """Whether every server would read ``path`` (without its query) as we do."""
    if b"%" not in path:
        return _PLAIN.fullmatch(path) is not None
    bare = _ENCODED.sub(b"-", path)
    if b"%" in bare or not _PLAIN.fullmatch(bare):
        return False
    for digits in _ENCODED.findall(path):
        byte = int(digits, 16)
        if byte in _MEANINGFUL or byte in _UNRESERVED or byte < 0x20 or byte == 0x7F:
            return False
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    if " /" in text or text.endswith(" "):
        return False  # as with the dot: Windows drops both from the end of a name
    return not any(_folds_into_ascii(char) for char in text if not char.isascii())


def _folds_into_ascii(char: str) -> bool:
    """Whether normalising or changing case makes ASCII of ``char``: U+FF0F of which comes a
    slash, U+212A of which comes a k."""
    made = unicodedata.normalize("NFKC", char)
    spellings = made + char.lower() + char.upper() + char.casefold()
    return any(each.isascii() for each in spellings)


class PathTable(Generic[Value]):
    """Patterns and what each leads to. The longest one that matches wins, exact ones first."""

    def __init__(self, patterns: Iterable[tuple[str, Value]], otherwise: Value) -> None:
        ordered = sorted(patterns, key=lambda pair: sort_key(pair[0]), reverse=True)
        self._exact = [(_fold(p), _strict(p), value) for p, value in ordered if p[-1] != "*"]
        self._below = [
            (_fold(p[:-2]), p[:-2].encode(), value) for p, value in ordered if p[-1] == "*"
        ]
        self._otherwise = otherwise
        self._find = lru_cache(_REMEMBERED)(self._judge)

    def find(self, target: bytes) -> Value | None:
        """What ``target`` (a path and perhaps a query) leads to; None: it is ambiguous."""
        if target == b"*":
            return self._otherwise
        path = target.partition(b"?")[0]
        if len(path) <= _LONGEST_REMEMBERED:
            return self._find(path)
        return self._judge(path)

    def _judge(self, path: bytes) -> Value | None:
        if not is_plain(path):
            return None
        strict = self._match(_strict_path(path), folds=False)
        return strict if self._match(_fold_path(path), folds=True) is strict else None

    def _match(self, path: bytes, *, folds: bool) -> Value:
        for fold, strict, value in self._exact:
            if path == (fold if folds else strict):
                return value
        for fold, strict, value in self._below:
            start = fold if folds else strict
            if path.startswith(start) and path[len(start) : len(start) + 1] in (b"", b"/"):
                return value
        return self._otherwise


def _strict(pattern: str) -> bytes:
    return _strict_path(pattern.encode())


def _fold(pattern: str) -> bytes:
    return folded(pattern).encode() if pattern else b""


def _strict_path(path: bytes) -> bytes:
    return path if path == b"/" else path.removesuffix(b"/")


def _fold_path(path: bytes) -> bytes:
    if path.isascii() and b"%" not in path:
        return _strict_path(path.lower())
    text = unquote_to_bytes(path).decode("utf-8").lower()
    # Some file systems see no difference in what nobody sees (HFS+, CVE-2014-9390).
    seen = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return _strict_path(seen.encode())
