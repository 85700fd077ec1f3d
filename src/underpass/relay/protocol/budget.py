"""Who may hold how much memory: credit granted to peers, and bytes kept for replay.

Both budgets count memory pinned in this process. Credit that was granted and not yet used counts
as used, because the peer may send it at any moment and a link is always read.
"""

from __future__ import annotations

from typing import Final

RECEIVE_BUDGET: Final = 64 * 1024 * 1024
"""Bytes a process may have granted or hold undrained (WIRE.md)."""
REPLAY_BUDGET: Final = 256 * 1024 * 1024
"""Bytes a process may keep for replay or queued, beyond each lane's reserve (WIRE.md)."""
LANE_RESERVE: Final = 64 * 1024
"""Data bytes every lane may buffer outside the process budget (WIRE.md)."""
LANE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes a lane may buffer at most beyond its reserve (WIRE.md)."""
CONTROL_RESERVE: Final = 256 * 1024
"""Bytes by which new streams may overdraw a lane that is full, so that small requests pass beside
bulk (WIRE.md)."""
EASY: Final = 1024 * 1024
"""A lane that buffers less, of a key and in a process that use less than half of theirs, need not
be asked how much is free: all three limits are farther than one read."""
DETACHED_EXTRA: Final = 1024 * 1024
"""Bytes a lane without a link may take on more (WIRE.md)."""

FIRST_CREDIT: Final = 64 * 1024
"""A stream's first credit while less than half of the budget is granted (WIRE.md)."""
SMALL_CREDIT: Final = 4 * 1024
"""A stream's first credit, and its least window, after that (WIRE.md)."""
WINDOW_LIMIT: Final = 4 * 1024 * 1024
"""Largest window of one stream: 50 MB/s at 80 ms, and a sixteenth of the budget."""


class ReceiveBudget:
    """Credit granted and bytes undrained, over all lanes of a process."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = RECEIVE_BUDGET) -> None:
        self.limit = limit
        self.used = 0

    @property
    def first_credit(self) -> int:
        """What a new stream is given; 0 when nothing is left."""
        if self.used * 2 < self.limit:
            return FIRST_CREDIT
        return SMALL_CREDIT if self.used + SMALL_CREDIT <= self.limit else 0

    @property
    def generous(self) -> bool:
        """Whether windows may grow or stay large."""
        return self.used * 2 < self.limit


class ReplayBudget:
    """Bytes buffered for sending, over all lanes of a process; one account a key."""

    __slots__ = ("half", "limit", "used")

    def __init__(self, limit: int = REPLAY_BUDGET) -> None:
        self.limit = limit
        self.half = limit // 2
        self.used = 0

    def account(self) -> ReplayAccount:
        """A new account, for one key: at most a quarter of the budget."""
        return ReplayAccount(self)


class ReplayAccount:
    """The share of one key in the replay budget."""

    __slots__ = ("budget", "half", "limit", "used")

    def __init__(self, budget: ReplayBudget) -> None:
        self.budget = budget
        self.limit = budget.limit // 4
        self.half = self.limit // 2
        self.used = 0

    @property
    def free(self) -> int:
        """Bytes that may still be charged."""
        return min(self.limit - self.used, self.budget.limit - self.budget.used)

    def charge(self, delta: int) -> None:
        """Count ``delta`` bytes more, or less."""
        self.used += delta
        self.budget.used += delta
