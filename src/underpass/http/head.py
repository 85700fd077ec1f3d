"""Collecting the bytes of a head, within limits, and refusing those that no head may hold.

Knows lines, not their meaning. A head is judged when it is whole; what can only become worse
(too long, a bare LF, a control byte) is refused as soon as it is seen, so that nobody waits for an
end that cannot come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from underpass.http.grammar import FORBIDDEN
from underpass.http.messages import MAX_HEAD_BYTES, Malformed

_LINE_OVERHEAD: Final = 64
# A method of at most 32 letters, two spaces and "HTTP/1.1", rounded up.


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of anything a reader takes before it refuses."""

    head_bytes: int = MAX_HEAD_BYTES - 4096
    """Start line and fields together, or all trailers; beyond it 431. The margin is for what
    packing adds (at most some 300 bytes) and for the fields an edge stamps on."""
    target_bytes: int = 16 * 1024
    """Request target; beyond it 414. Browsers stay below 8 KiB (nginx takes 8, Apache 8)."""
    fields: int = 100
    """Field lines in a head or trailer section; beyond it 431. Apache's and Tomcat's default."""
    held_bytes: int = MAX_HEAD_BYTES
    """What may arrive after a request to upgrade and before it is decided (and one read more)."""
    pipeline: int | None = None
    """Heads handed over by one call; the rest waits, see ``RequestReader.waiting``. None: all."""


class Refusal(Exception):
    """The message is refused; ``malformed`` says how to answer. Never leaves this package."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.malformed = Malformed(status, code, reason)


def too_large(reason: str) -> Refusal:
    """The one refusal for heads and trailers over a limit."""
    return Refusal(431, "head-too-large", reason)


class HeadCollector:
    """Gives whole heads, from whatever pieces they come in."""

    __slots__ = ("_blank_seen", "_limits", "_lines", "_may_skip", "_partial")

    def __init__(self, limits: Limits, *, skip_blank: bool) -> None:
        self._limits = limits
        self._may_skip = skip_blank
        self._partial = bytearray()
        self._lines = 0
        self._blank_seen = False

    @property
    def is_empty(self) -> bool:
        """Whether no byte of a head is held."""
        return not self._partial

    def collect(self, data: bytes, at: int) -> tuple[bytes, int, bytes] | None:
        """Look for a whole head in what is held and ``data`` from ``at`` on.

        Answers the head (with its empty line), where the message goes on, and in which bytes; or
        None, having taken everything. Raises ``Refusal``.
        """
        partial = self._partial
        if partial:
            seen = len(partial)
            partial += data[at:] if at else data
            if partial.startswith(b"\r\n"):
                # A stray CRLF after a body is old practice (RFC 9112 2.2); one, never more.
                self._skip_blank()
                del partial[:2]
                seen = max(0, seen - 2)
            end = partial.find(b"\r\n\r\n", max(0, seen - 3))
            if end < 0:
                self._check_partial(partial, seen)
                return None
            data = bytes(partial)
            at = 0
            partial.clear()
        else:
            if data.startswith(b"\r\n", at):
                self._skip_blank()
                at += 2
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                partial += data[at:]
                self._check_partial(partial, 0)
                return None
        end += 4
        head = data[at:end]
        self._check_whole(head)
        self._lines = 0
        self._blank_seen = False
        return head, end, data

    def _skip_blank(self) -> None:
        if self._blank_seen or not self._may_skip:
            raise Refusal(400, "request-malformed", "an empty line before a head")
        self._blank_seen = True

    def _check_whole(self, head: bytes) -> None:
        limits = self._limits
        if len(head) > limits.target_bytes:
            self._check_size(head)
        lines = head.count(b"\r\n")
        if lines > limits.fields + 2:
            raise too_large(f"more than {limits.fields} fields")
        if (
            head.count(b"\n") != lines
            or head.count(b"\r") != lines
            or len(head.translate(None, FORBIDDEN)) != len(head)
        ):
            raise Refusal(400, "request-malformed", "a control byte or a bare line end in a head")

    def _check_partial(self, partial: bytearray, seen: int) -> None:
        if len(partial) > self._limits.target_bytes:
            self._check_size(partial)
        fresh = bytes(memoryview(partial)[max(0, seen - 1) :])
        line_feeds = fresh.count(b"\n") - (seen > 0 and fresh.startswith(b"\n"))
        self._lines += line_feeds
        if self._lines > self._limits.fields + 2:
            raise too_large(f"more than {self._limits.fields} fields")
        pairs = fresh.count(b"\r\n")
        if (
            pairs != line_feeds
            or fresh.count(b"\r") != pairs + fresh.endswith(b"\r")
            or len(fresh.translate(None, FORBIDDEN)) != len(fresh)
        ):
            raise Refusal(400, "request-malformed", "a control byte or a bare line end in a head")

    def _check_size(self, head: bytes | bytearray) -> None:
        limits = self._limits
        if head.find(b"\n", 0, limits.target_bytes + _LINE_OVERHEAD) < 0 and (
            len(head) >= limits.target_bytes + _LINE_OVERHEAD
        ):
            raise Refusal(414, "target-too-long", "the first line is too long")
        if len(head) > limits.head_bytes:
            raise too_large(f"a head of more than {limits.head_bytes} bytes")
