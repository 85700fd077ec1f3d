"""How much may be held for visitors whom no gate has let in yet."""

from __future__ import annotations

from typing import Final, Protocol

HELD_BYTES: Final = 64 * 1024 * 1024
# All bodies that one gatehouse holds for its gates: sixty of the largest most schemes send.


class Holder(Protocol):
    """A visitor whose body is held until it is whole."""

    @property
    def size(self) -> int:
        """Bytes held."""

    def give_way(self) -> None:
        """Be refused, and hold nothing any more (``HeldBudget.leave``)."""


class HeldBudget:
    """How much one gatehouse holds for visitors whom no gate has let in yet.

    When it is used up, whoever holds most gives way to who needs less: a few who send much, and
    never finish, do not keep out the many who send little.
    """

    __slots__ = ("_holders", "_left")

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self._left = limit
        self._holders: dict[Holder, None] = {}

    def enter(self, holder: Holder) -> None:
        """From now on ``holder`` may have to give way."""
        self._holders[holder] = None

    def leave(self, holder: Holder) -> None:
        """It has not to any more. Idempotent."""
        self._holders.pop(holder, None)

    def take(self, count: int, size: int = 0) -> bool:
        """Whether ``count`` bytes more may be held by somebody who holds ``size``; then they are
        counted."""
        while count > self._left:
            largest = max(self._holders, key=lambda holder: holder.size, default=None)
            if largest is None or largest.size <= size + count:
                return False
            self.leave(largest)
            largest.give_way()
        self._left -= count
        return True

    def give(self, count: int) -> None:
        """They are held no longer."""
        self._left += count
