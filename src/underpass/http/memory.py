"""A bounded memory of what pure functions said, so that each short string is judged once.

Visitors choose the strings: neither their number nor their length may grow what is held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

_LONGEST: Final = 64
_MOST: Final = 2048
# Together at most some 300 KiB a memory, whatever visitors send.

T = TypeVar("T")


class BoundedMemory(Generic[T]):
    """Remembers what ``judge`` says about short byte strings."""

    __slots__ = ("_judge", "_known", "if_known")

    def __init__(self, judge: Callable[[bytes], T]) -> None:
        self._judge = judge
        self._known: dict[bytes, T] = {}
        self.if_known = self._known.get
        """What was said before, or None. For loops that cannot afford a call."""

    def __call__(self, text: bytes) -> T:
        """What ``judge`` says about ``text``."""
        said = self._known.get(text)
        if said is None:
            said = self._judge(text)
            if len(self._known) < _MOST and len(text) <= _LONGEST:
                self._known[text] = said
        return said
