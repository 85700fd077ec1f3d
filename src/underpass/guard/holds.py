"""What an admission hangs on besides time: a grant that can be taken back while something runs.

Whoever gives the pass keeps the hold and cuts it; whoever lets something run under the pass watches
it. Used on one event loop; nothing here knows what runs.
"""

from __future__ import annotations

from collections.abc import Callable


class Hold:
    """Holds until it is cut, once and for good."""

    __slots__ = ("_watchers", "is_cut")

    def __init__(self) -> None:
        self.is_cut = False
        self._watchers: set[Callable[[], None]] = set()

    def watch(self, told: Callable[[], None]) -> None:
        """Have ``told`` called when it is cut; one that is cut already calls nobody."""
        self._watchers.add(told)

    def unwatch(self, told: Callable[[], None]) -> None:
        """Call ``told`` no more. Idempotent."""
        self._watchers.discard(told)

    def cut(self) -> None:
        """Take it back: everybody who watches is told before this returns. Idempotent."""
        self.is_cut = True
        watchers, self._watchers = self._watchers, set()
        for told in watchers:
            told()

    @property
    def watched(self) -> int:
        """By how many it is watched."""
        return len(self._watchers)
