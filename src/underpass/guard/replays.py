"""What was shown before: proofs that are good for one use are remembered until they expire.

Here as long as the process runs; what must outlive it is told to a ``ReplayMemory``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

MAX_REMEMBERED: Final = 65_536
# Some 10 MiB at worst. Only valid ones are remembered: a stranger cannot fill it.


class ReplayMemory(Protocol):
    """Remembers what was shown at one tunnel, whatever becomes of this process."""

    async def first_use(self, proofs: Sequence[bytes], until: float | None) -> bool:
        """Remember ``proofs``, which all stand for one valid thing, on disk when this returns.
        False: one of them was shown before. ``until`` (Unix seconds) they could pass; None: for
        good. Raises an ``UnderpassError`` when nobody can say."""


class Replays:
    """Remembers digests for ``seconds``, or for good as far as memory goes (``seconds`` None)."""

    def __init__(self, seconds: float | None, limit: int = MAX_REMEMBERED) -> None:
        self._seconds = seconds
        self._limit = limit
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def first_use(self, digest: bytes, now: float) -> bool | None:
        """Remember ``digest`` (of something valid). False: it was shown before; None: nobody can
        say, since forgetting another one early would let that be used twice."""
        seen = self._seen
        if self._seconds is not None:
            while seen and next(iter(seen.values())) <= now:
                seen.popitem(last=False)
        if digest in seen:
            return False
        if len(seen) >= self._limit:
            if self._seconds is not None:
                return None
            seen.popitem(last=False)
        seen[digest] = now + (self._seconds or 0.0)
        return True

    def forget(self, digest: bytes) -> None:
        """It was not passed on after all: it may come again."""
        self._seen.pop(digest, None)

    def __len__(self) -> int:
        return len(self._seen)
