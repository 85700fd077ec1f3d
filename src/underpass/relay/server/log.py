"""The relay's log: events with facts, never a flood.

Whoever sends a million bad requests must not fill the disk (faults, T40): each kind of event has a
bucket of its own, and what did not fit is counted and said with the next one that does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

BURST: Final = 50
PER_SECOND: Final = 2.0
"""A line has some 200 bytes: 35 MB a day at the worst for each kind of event, of which there are
a dozen."""


class RelayLog:
    """Says events; ``now`` is a monotonic clock. Event names are constants of the code."""

    def __init__(
        self, logger: Any, now: Callable[[], float], *, burst: int = BURST, rate: float = PER_SECOND
    ) -> None:
        self._logger = logger
        self._now = now
        self._burst = burst
        self._rate = rate
        self._buckets: dict[str, _Bucket] = {}

    def info(self, event: str, **facts: object) -> None:
        """Something that is as it should be."""
        self._say("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Something that the operator may want to look at."""
        self._say("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        """Something that the operator must look at."""
        self._say("error", event, facts)

    def _say(self, level: str, event: str, facts: dict[str, object]) -> None:
        now = self._now()
        bucket = self._buckets.get(event)
        if bucket is None:
            bucket = self._buckets[event] = _Bucket(self._burst, now)
        left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if left < 1:
            bucket.left = left
            bucket.dropped += 1
            return
        bucket.left = left - 1
        if bucket.dropped:
            facts = {**facts, "dropped_before": bucket.dropped}
            bucket.dropped = 0
        getattr(self._logger, level)(event, **facts)


class _Bucket:
    __slots__ = ("at", "dropped", "left")

    def __init__(self, left: float, at: float) -> None:
        self.left = left
        self.at = at
        self.dropped = 0


def relay_log(now: Callable[[], float]) -> RelayLog:
    """The log of a relay: JSON objects, over the ``logging`` logger ``underpass.relay``.

    An embedded relay is therefore silent below a warning, unless its program wants to hear it.
    """
    return RelayLog(_Lines(), now)


class _Lines:
    """structlog over ``logging``, made when there is a first line to write: importing it takes a
    tenth of a second, and an embedded relay may never say a word."""

    def __init__(self) -> None:
        self._under = logging.getLogger("underpass.relay")
        self._logger: Any = None

    def info(self, event: str, **facts: object) -> None:
        """See ``RelayLog``."""
        self._say(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """See ``RelayLog``."""
        self._say(logging.WARNING, event, facts)

    def error(self, event: str, **facts: object) -> None:
        """See ``RelayLog``."""
        self._say(logging.ERROR, event, facts)

    def _say(self, level: int, event: str, facts: dict[str, object]) -> None:
        if not self._under.isEnabledFor(level):
            return
        if self._logger is None:
            import structlog

            self._logger = structlog.wrap_logger(
                self._under,
                processors=[
                    structlog.stdlib.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.JSONRenderer(),
                ],
                wrapper_class=structlog.stdlib.BoundLogger,
            )
        self._logger.log(level, event, **facts)


def log_to_stderr() -> None:
    """Let the relay's log be seen: for a process that is nothing but a relay."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("underpass")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
