"""Taking the secrets out of messages before they are kept: targets, fields, bodies and their parts.

Pure. Two nets beside the forms and names of ``secret_spans``: fields that the gates have named (the
credential that passed), and secrets of this process that were registered (``guard.redact``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from underpass.guard.redact import REDACTED
from underpass.http.messages import Headers, RequestHead, ResponseHead, encode_head, lookup
from underpass.observe.secret_names import announces_secret_in_query, is_secret_field
from underpass.observe.secret_spans import Span, find_spans, replace_spans, words_for

WORD: Final = REDACTED.encode()
"""What stands where a secret stood."""

_MOST_HEADS: Final = 128
_LONGEST_HEAD: Final = 4096
_MOST_REMEMBERED: Final = 512
_LONGEST_REMEMBERED: Final = 256

_MOST_PAIRS: Final = 256
# In a query that hides a secret behind escapes; of a longer one nothing is kept.

_SHORTEST: Final = 8
# Of a registered secret: shorter ones would blank out ordinary words.


@dataclass(frozen=True, slots=True)
class Asked:
    """What is kept of the head of a request."""

    method: str
    target: str
    host: str
    fields: Headers
    redacted: int
    coding: bytes
    """Content coding and type of its body, in lower case."""
    kind: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What is kept of the head of an answer."""

    fields: Headers
    redacted: int
    reason: bytes
    coding: bytes
    """Content coding of its body, in lower case."""
    has_events: bool
    """The body is an event stream."""
    code: str
    """Of an answer of our own: origins cannot say one (``strip_ours``)."""


def is_event_stream(head: ResponseHead) -> bool:
    """Whether the body of an answer is one event after the other."""
    for name, value in head.headers:
        if len(name) == 12 and name.lower() == b"content-type":
            return value[:17].lower() == b"text/event-stream"
    return False


class Redaction:
    """Knows what this tunnel's secrets look like. One for each gatehouse, on its loop."""

    def __init__(self, known: Iterable[bytes] = ()) -> None:
        self._known = tuple(each for each in known if len(each) >= _SHORTEST)
        self._clean: set[tuple[bytes, bytes]] = set()
        """Fields that were looked at lately and hold nothing: visitors repeat themselves."""
        self._asked: dict[tuple[bytes, tuple[bytes, ...]], Asked] = {}
        self._answered: dict[bytes, Answered] = {}
        """Whole heads that were looked at lately; none of them outlasts this process."""

    def asked(self, head: RequestHead, strip: tuple[bytes, ...]) -> Asked:
        """What is kept of ``head``; not to be changed. ``strip`` as for ``fields``."""
        key = encode_head(head), strip
        asked = self._asked.get(key)
        if asked is None:
            target, count = self.target(head.target)
            fields, number = self.fields(head.headers, strip)
            asked = Asked(
                head.method.decode("latin-1"),
                target.decode("utf-8", "replace"),
                head.host.decode("latin-1"),
                fields,
                count + number,
                (lookup(head.headers, b"content-encoding") or b"").strip().lower(),
                (lookup(head.headers, b"content-type") or b"").lower(),
            )
            if len(key[0]) <= _LONGEST_HEAD:
                if len(self._asked) >= _MOST_HEADS:
                    self._asked.clear()
                self._asked[key] = asked
        return asked

    def answered(self, head: ResponseHead) -> Answered:
        """What is kept of ``head``; not to be changed."""
        key = encode_head(head)
        answered = self._answered.get(key)
        if answered is None:
            fields, count = self.fields(head.headers)
            answered = Answered(
                fields,
                count,
                head.reason,
                (lookup(head.headers, b"content-encoding") or b"").strip().lower(),
                is_event_stream(head),
                (lookup(head.headers, b"underpass-error") or b"").decode("ascii", "replace"),
            )
            if len(key) <= _LONGEST_HEAD:
                if len(self._answered) >= _MOST_HEADS:
                    self._answered.clear()
                self._answered[key] = answered
        return answered

    def fields(self, headers: Headers, strip: Iterable[bytes] = ()) -> tuple[Headers, int]:
        """A copy without secrets, and how many there were. ``strip`` names, in lower case, the
        fields that a gate takes away."""
        gate = [name for name in strip if not is_secret_field(name)]
        kept: Headers = []
        count = 0
        clean = self._clean
        for field in headers:
            if field in clean and not gate:
                kept.append(field)
                continue
            name, value = field
            if is_secret_field(name) or (gate and name.lower() in gate):
                kept.append((name, WORD))
                count += 1
                continue
            said, number = self.text(value)
            if number:
                kept.append((name, said))
                count += number
                continue
            kept.append(field)
            if len(value) <= _LONGEST_REMEMBERED:
                if len(clean) >= _MOST_REMEMBERED:
                    clean.clear()
                clean.add(field)
        return kept, count

    def target(self, target: bytes) -> tuple[bytes, int]:
        """A request target without secret query values and segments."""
        if len(target) < _SHORTEST:
            return target, 0
        path, mark, query = target.partition(b"?")
        if not mark:
            return self.text(target)
        said, count = self.text(path)
        query, number = self.pairs(query)
        return said + mark + query, count + number

    def pairs(self, text: bytes) -> tuple[bytes, int]:
        """``a=1&b=2`` without the values of telling keys; keys are judged as they decode."""
        if b"%" in text or b"+" in text:
            decoded = unquote_to_bytes(text.replace(b"+", b" "))
            if find_spans(decoded, known=self._known):
                return self._decoded_pairs(text)
        return self.text(text)

    def _decoded_pairs(self, text: bytes) -> tuple[bytes, int]:
        given = text.split(b"&")
        if len(given) > _MOST_PAIRS:
            return WORD, 1
        pairs, count = [], 0
        for pair in given:
            key, equals, value = pair.partition(b"=")
            plain = unquote_to_bytes(key.replace(b"+", b" "))
            outer = plain.partition(b"[")[0]
            telling = announces_secret_in_query(plain) or announces_secret_in_query(outer)
            decoded = unquote_to_bytes(value.replace(b"+", b" "))
            if equals and value and (telling or find_spans(decoded, known=self._known)):
                value = WORD
                count += 1
            key, number = self.text(key)
            pairs.append(key + equals + value)
            count += number
        return b"&".join(pairs), count

    def text(self, text: bytes, *, cut: bool = False) -> tuple[bytes, int]:
        """Any text without its secrets."""
        spans = find_spans(text, cut=cut, known=self._known)
        if not spans:
            return text, 0
        return replace_spans(text, spans, words_for(text, spans, WORD)), len(spans)

    def parts(self, parts: list[bytes], *, cut: bool = False) -> tuple[list[bytes], int]:
        """The parts of one text, each without what of its secrets stood in it: a secret that
        begins in one and ends in the next is taken out of both."""
        if len(parts) == 1:
            said, count = self.text(parts[0], cut=cut)
            return [said], count
        whole = b"".join(parts)
        spans = find_spans(whole, cut=cut, known=self._known)
        if not spans:
            return parts, 0
        words = words_for(whole, spans, WORD)
        kept, at = [], 0
        for part in parts:
            end = at + len(part)
            inside: list[Span] = []
            put: list[bytes] = []
            for (start, stop), word in zip(spans, words, strict=True):
                if start < end and stop > at:
                    inside.append((max(start, at) - at, min(stop, end) - at))
                    # Of one that stands in quotes of ours the first part says all.
                    put.append(word if start >= at or word == WORD else b"")
            kept.append(replace_spans(part, inside, put) if inside else part)
            at = end
        return kept, len(spans)
