"""The first event of the oldest transport: where the client must POST to. Pure.

The event comes first or not at all, so at most its own bytes are ever held back, and only when it
arrives in pieces.
"""

from __future__ import annotations

import re
from typing import Final

from underpass.gatehouse.mcp.documents import Move

LONGEST: Final = 4 * 1024
# The event is a path with a session's id.

_BEGINNING: Final = b"event:"
_EVENT: Final = re.compile(
    rb"(event: ?endpoint(?:\r\n|\r|\n)data: ?)([^\r\n]*)((?:\r\n|\r|\n){2}.*)", re.DOTALL
)


class EndpointEvent:
    """Moves the address in the first event of one stream."""

    __slots__ = ("_held", "_move", "is_over")

    def __init__(self, move: Move) -> None:
        self._move = move
        self._held = b""
        self.is_over = False
        """The first event has passed: everything further passes as it is."""

    def receive_data(self, data: bytes) -> bytes:
        """What may be passed on now."""
        held, self._held = self._held + data, b""
        match = _EVENT.fullmatch(held)
        if match is not None:
            self.is_over = True
            moved = self._move(match[2].decode("latin-1"))
            if moved is None:
                return held
            return match[1] + moved.encode("latin-1") + match[3]
        if self._may_become(held):
            self._held = held
            return b""
        self.is_over = True
        return held

    def take_rest(self) -> bytes:
        """What was held back when the stream ends."""
        held, self._held = self._held, b""
        self.is_over = True
        return held

    def _may_become(self, held: bytes) -> bool:
        head = held[: len(_BEGINNING)]
        if len(held) > LONGEST or not _BEGINNING.startswith(head):
            return False
        first = re.split(rb"[\r\n]", held, maxsplit=1)
        name = first[0][len(_BEGINNING) :].lstrip(b" ")
        if len(first) == 1:
            return b"endpoint".startswith(name)
        return name == b"endpoint"
