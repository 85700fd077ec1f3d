"""Where in a ``text/event-stream`` a comment may be put: between complete events, nowhere else.

Knows line ends, not events. A stream that opens with a byte order mark must not be silent before
it: nobody sends one. WHATWG HTML 9.2: a line ends with CRLF, LF or CR; an event ends with
an empty line.
"""

from __future__ import annotations

from typing import Final

from underpass.http.messages import UNKNOWN_LENGTH, ResponseHead, lookup

COMMENT: Final = b":\n\n"
"""A heartbeat: a comment line, and an empty line that dispatches nothing."""

AFTER_SILENCE: Final = 15.0
"""Seconds without a byte before a comment is put in: below every idle limit seen in the wild (60 s
at AWS ALB is the shortest)."""


def may_comment(head: ResponseHead) -> bool:
    """Whether comments may be put into the body of ``head`` at all: an event stream without a
    coding or a length that they would break."""
    kind = (lookup(head.headers, b"content-type") or b"").split(b";")[0].strip().lower()
    return (
        kind == b"text/event-stream"
        and head.body == UNKNOWN_LENGTH
        and head.status == 200
        and lookup(head.headers, b"content-encoding") is None
    )


class EventBoundary:
    """Follows the bytes of an event stream and knows whether they end between two events."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\n"  # the start of the stream is the start of a line

    def receive_data(self, data: bytes | memoryview) -> None:
        """The next bytes that the visitor gets."""
        if len(data) >= 3:
            self._tail = bytes(data[-3:])
        else:
            self._tail = (self._tail + bytes(data))[-3:]

    @property
    def is_between_events(self) -> bool:
        """Whether a comment may be put in now. A lone CR at the end counts as half of a CRLF,
        unless the line before ended with a lone CR as well."""
        tail = self._tail
        if tail == b"\n":
            return True  # nothing has been sent
        if tail.endswith(b"\r\n"):
            return tail[:-2].endswith((b"\n", b"\r"))
        if tail.endswith(b"\n"):
            return tail[:-1].endswith(b"\n")
        return tail.endswith(b"\r\r")
