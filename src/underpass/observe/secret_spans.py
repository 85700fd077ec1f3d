"""Where in a text secrets stand: values behind telling names, and forms that are secret by
themselves. Pure; knows bytes, not messages.

Nothing is parsed as a whole, so it works on what was cut off, on JSON inside JSON strings, and on
event streams. All patterns are linear. What a text holds not at all costs a few searches for plain
substrings, which is what nearly every text costs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from underpass.guard.secrets import TOKEN_PATTERN
from underpass.observe.secret_names import STEMS, announces_secret, announces_secret_in_query

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Family:
    """Forms that share a byte, which is looked for first: that costs next to nothing."""

    sign: bytes
    endings: tuple[bytes, ...]
    """What stands before the sign in one of the forms."""
    form: re.Pattern[bytes]

    def is_in(self, text: bytes) -> bool:
        """Whether ``text``, which has the first byte of the sign, may hold one of the forms."""
        if text.count(self.sign) > _MANY:
            return any(ending + self.sign in text for ending in self.endings)
        return any(piece.endswith(self.endings) for piece in text.split(self.sign)[:-1])


_MANY: Final = 64
# Signs in one text, beyond which to look at each costs more than to look for all endings.

# Lengths are below the vendors' own, for forms whose end was cut off.
_FAMILIES: Final = (
    _Family(
        b"_",
        tuple(b"up ghp gho ghu ghs ghr pat live test whsec npm hf".split()),
        re.compile(
            TOKEN_PATTERN.encode() + rb"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}"
            rb"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}"
            rb"|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{20,}"
        ),
    ),
    _Family(
        b"-",
        (
            *b"sk xapp glpat pypi tskey KEY".split(),
            *(b"xox" + bytes((letter,)) for letter in b"abcdeoprs"),
        ),
        re.compile(
            rb"sk-[A-Za-z0-9_-]{16,}|xox[abcdeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"
            rb"|glpat-[A-Za-z0-9_-]{16,}|pypi-[A-Za-z0-9_-]{30,}|tskey-[A-Za-z0-9-]{10,}"
            rb"|-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----"
            rb".*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
            re.DOTALL,
        ),
    ),
    _Family(
        b"I",
        (b"AK", b"AS", b"A"),
        re.compile(rb"A[KS]IA[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{30,}"),
    ),
    _Family(
        b".",
        (b"ya29", b"SG"),
        re.compile(rb"ya29\.[A-Za-z0-9_-]{16,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]*"),
    ),
    _Family(
        b"://",
        (b"",),
        re.compile(rb"(?<=://)[^\s/@:\"'<>]{0,256}:[^\s/@\"'<>]{1,256}(?=@)"),
    ),
)

# A byte is looked for as a number: asked for as bytes, it is first taken for a number in vain, by
# an exception that costs ten times what the search does.
_SIGNS: Final = tuple((family.sign[0], family) for family in _FAMILIES)
_LETTER_J: Final = ord("J")
_QUOTE: Final = ord('"')
_EQUALS: Final = ord("=")
_BACKSLASH: Final = ord("\\")
_SPACE: Final = ord(" ")
_PLUS: Final = ord("+")
_PERCENT: Final = ord("%")
_NEWLINE: Final = ord("\n")

_JOSE = re.compile(rb"eyJ[A-Za-z0-9_.-]{8,}")
"""JWT and JWE begin so, and so does any JSON in base64: only with a dot is it one of them."""

_SCHEME = re.compile(rb"(?i)\b(?:bearer|basic)(?:\s|%20|\+)+([A-Za-z0-9._~+/=-]{8,})")

_CUT_TOKEN = re.compile(
    rb"(?:up_|eyJ|gh[pousr]_|github_pat_|glpat-|sk-|[sr]k_(?:live|test)_|whsec_|xox[abcdeoprs]-|xapp-|"
    rb"AKIA|ASIA|AIza|ya29\.|npm_|hf_|SG\.|pypi-|tskey-|-----BEGIN )[A-Za-z0-9+/=_. -]{0,600}\Z"
)
"""A form whose rest was cut off."""

_NAME_BYTES: Final = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.[]"
)
_LONGEST_NAME: Final = 80
_LONGEST_COLON: Final = 700
# Between a name and its value: as much as ``_JSON_VALUE`` takes.

_STEM = re.compile(b"|".join(re.escape(stem) for stem in STEMS))
_JSON_VALUE = re.compile(rb'(\\{0,7})"(?:\s|data:|\\[nrt]){0,64}:(?:\s|data:|\\[nrt]){0,64}')
_PART_VALUE = re.compile(rb'"?[^\r\n]{0,512}\r?\n(?:[^\r\n]{1,512}\r?\n){0,8}\r?\n')
_PAIR_END = re.compile(rb"[&;\s\"'<>\\]|\Z")
_SCALAR = re.compile(rb"[^\s,\]}]*")
_MEMBER = re.compile(rb'"([\w.$\[\] -]{2,80})\\{0,7}"(?::|(?:\s|data:|\\[nrt]){1,64}:)')
_LAST_WORDS = re.compile(rb"([A-Za-z0-9_.-]*)\[?([A-Za-z0-9_.-]*)\]?\Z")
"""``name``, and both names of ``name[inner]``."""
_ESCAPED_NAME = re.compile(rb'"((?:[^"\\\n]|\\[^\n]){1,400}?)"\s*:')
_STRUCTURE = re.compile(rb'[{}\[\]"]')


def find_spans(text: bytes, *, cut: bool = False, known: tuple[bytes, ...] = ()) -> list[Span]:
    """The secrets of ``text``, in order, apart from one another. ``cut``: the end is not the end
    of what was said. ``known`` are secrets to be found wherever they stand."""
    found: list[Span] = []
    for secret in known:
        at = text.find(secret)
        while at >= 0:
            found.append((at, at + len(secret)))
            at = text.find(secret, at + len(secret))
    for sign, family in _SIGNS:
        if sign in text and family.is_in(text):
            found += (match.span() for match in family.form.finditer(text))
    if _LETTER_J in text and b"eyJ" in text:
        found += (
            match.span()
            for match in _JOSE.finditer(text)
            if b"." in match.group() or (cut and match.end() == len(text))
        )
    if cut and (tail := _CUT_TOKEN.search(text, max(0, len(text) - 700))):
        found.append(tail.span())
    if _SPACE in text or _PLUS in text or _PERCENT in text or _NEWLINE in text:
        lower = text.lower()
        if b"bearer" in lower or b"basic" in lower:
            found += (match.span(1) for match in _SCHEME.finditer(text))
    if (_QUOTE in text or _EQUALS in text) and _has_telling_name(text):
        found += _behind_names(text, text.lower())
    if _BACKSLASH in text and b"\\u" in text:
        found += _behind_escaped_names(text)
    return _joined(found) if found else found


def words_for(text: bytes, spans: list[Span], word: bytes) -> list[bytes]:
    """What is to stand in place of each span: ``word``, in quotes where it takes the place of a
    whole JSON value, so that what was JSON still is."""
    return [_quote_for(text, start) + word + _quote_for(text, start) for start, _ in spans]


def _quote_for(text: bytes, start: int) -> bytes:
    at = text.rfind(b'"', max(0, start - _LONGEST_COLON), start)
    depth = at
    while depth > 0 and text[depth - 1] == _BACKSLASH:
        depth -= 1
    match = None if at < 0 else _JSON_VALUE.match(text, max(depth, at - 7), start)
    return match.group(1) + b'"' if match is not None and match.end() == start else b""


def replace_spans(text: bytes, spans: list[Span], words: Iterable[bytes]) -> bytes:
    """``text`` with each of ``words`` in place of its span."""
    parts: list[bytes] = []
    at = 0
    for (start, end), word in zip(spans, words, strict=True):
        parts += (text[at:start], word)
        at = end
    parts.append(text[at:])
    return b"".join(parts)


def _has_telling_name(text: bytes) -> bool:
    """Whether some name in ``text`` may announce a secret; names come before ``":``, ``=`` and,
    in multipart bodies, behind ``name=``."""
    if _QUOTE in text and any(map(announces_secret, set(_MEMBER.findall(text)))):
        return True
    if _EQUALS in text:
        for piece in text.split(b"=")[:-1]:
            words = _LAST_WORDS.search(piece[-_LONGEST_NAME:])
            if words is not None and any(map(announces_secret_in_query, words.groups())):
                return True
        return b'name="' in text
    return False


def _behind_names(text: bytes, lower: bytes) -> Iterator[Span]:
    passed = 0
    for match in _STEM.finditer(lower):
        start, end = match.span()
        if end <= passed:
            continue
        first = max(passed, start - _LONGEST_NAME)
        while start > first and text[start - 1] in _NAME_BYTES:
            start -= 1
        last = min(len(text), end + _LONGEST_NAME)
        while end < last and text[end] in _NAME_BYTES:
            end += 1
        passed = end
        span = _value(text, start, end)
        if span is not None and span[1] > span[0]:
            passed = max(passed, span[1])
            yield span


def _value(text: bytes, start: int, end: int) -> Span | None:
    """Where the value behind the name at ``start`` stands, if the name announces a secret."""
    name = text[start:end]
    following = text[end : end + 1]
    if following == b"=":
        outer = name.partition(b"[")[0]
        if not (announces_secret_in_query(name) or announces_secret_in_query(outer)):
            return None
        return _pair_value(text, end + 1)
    if following not in (b'"', b"\\"):
        return None
    if not announces_secret(name):
        return None
    if text[max(0, start - 6) : start].endswith(b'name="'):
        part = _PART_VALUE.match(text, end)
        if part is not None:
            boundary = text.find(b"\r\n--", part.end())
            return part.end(), len(text) if boundary < 0 else boundary
        return None
    member = _JSON_VALUE.match(text, end)
    if member is None:
        return None
    return _json_value(text, member.end(), member.group(1))


def _pair_value(text: bytes, start: int) -> Span | None:
    if text[start : start + 1] in (b'"', b"'"):
        closing = text.find(text[start : start + 1], start + 1)
        return start + 1, len(text) if closing < 0 else closing
    end = _PAIR_END.search(text, start)
    return start, end.start() if end else len(text)


def _json_value(text: bytes, start: int, escape: bytes) -> Span | None:
    """The JSON value that begins at ``start``; strings without their quotes. ``escape`` is what
    stands before quotes here: JSON inside a JSON string."""
    quote = escape + b'"'
    if text.startswith(quote, start):
        begin = start + len(quote)
        return begin, _string_end(text, begin, escape)
    if text[start : start + 1] in (b"{", b"["):
        return start, _nested_end(text, start, escape)
    scalar = _SCALAR.match(text, start)
    end = scalar.end() if scalar else start
    if text[start:end] in (b"null", b"true", b"false"):
        return None
    return start, end


def _string_end(text: bytes, start: int, escape: bytes) -> int:
    """Where the string that began before ``start`` ends: at its closing quote, or with the text."""
    depth = len(escape)
    at = text.find(b'"', start)
    while at >= 0:
        slashes = 0
        while at - slashes > start and text[at - slashes - 1] == 0x5C:
            slashes += 1
        # A closing quote has ``depth`` slashes here, behind any number of backslashes that are
        # text, each written as two, four, eight … slashes; fewer: the string around it has ended.
        if slashes % (2 * depth + 2) == depth or slashes < depth:
            return at - (depth if slashes >= depth else slashes)
        at = text.find(b'"', at + 1)
    return len(text)


def _nested_end(text: bytes, start: int, escape: bytes) -> int:
    """Where the object or array that begins at ``start`` ends."""
    level, at = 0, start
    while (found := _STRUCTURE.search(text, at)) is not None:
        sign, at = found.group(), found.end()
        if sign in b"{[":
            level += 1
        elif sign in b"}]":
            level -= 1
            if level == 0:
                return at
        else:
            at = _string_end(text, at, escape) + len(escape) + 1
    return len(text)


def _behind_escaped_names(text: bytes) -> Iterator[Span]:
    for match in _ESCAPED_NAME.finditer(text):
        name = match.group(1)
        if b"\\u" not in name:
            continue
        try:
            plain = json.loads(b'"' + name + b'"')
        except ValueError:
            continue
        if announces_secret(plain.encode("utf-8", "replace")):
            start = match.end()
            while text[start : start + 1] in (b" ", b"\t", b"\r", b"\n"):
                start += 1
            span = _json_value(text, start, b"")
            if span is not None:
                yield span


def _joined(found: list[Span]) -> list[Span]:
    found.sort()
    joined = [found[0]]
    for start, end in found[1:]:
        if start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
