"""How much may be held for visitors whom no gate has let in yet."""

from __future__ import annotations

from typing import Final

HELD_BYTES: Final = 64 * 1024 * 1024
# All bodies that one gatehouse holds for its gates: sixty of the largest most schemes send.


class HeldBudget:
    """How much one gatehouse holds for visitors whom no gate has let in yet."""

    __slots__ = ("_left",)

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self._left = limit

    def take(self, count: int) -> bool:
        """Whether ``count`` bytes more may be held; then they are counted."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give(self, count: int) -> None:
        """They are held no longer."""
        self._left += count
