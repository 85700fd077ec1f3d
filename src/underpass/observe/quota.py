"""How much a tunnel may carry: bytes a calendar month, requests in any sixty seconds. Pure.

    10GB/month      bytes of bodies and streams, both ways, in a calendar month (UTC)
    600/minute      admitted requests in any sixty seconds

Units are decimal (kB, MB, GB, TB) as vendors count, or binary (KiB, MiB, GiB, TiB). At 80 % there
is one warning a window, and one more at 100 %; then visitors are refused until there is room again.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from underpass.observe.errors import QuotaMalformed

WARN_SHARES: Final = (0.8, 1.0)
MINUTE: Final = 60.0

_UNITS: Final = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_TEXT = re.compile(
    r"(?P<amount>[0-9]{1,15}(?:\.[0-9]{1,3})?)\s*(?P<unit>[A-Za-z]{0,3})/(?P<per>\w+)"
)


@dataclass(frozen=True, slots=True)
class Quota:
    """What one tunnel may carry. None: no limit."""

    bytes_a_month: int | None = None
    requests_a_minute: int | None = None

    def __str__(self) -> str:
        said = []
        if self.bytes_a_month is not None:
            said.append(f"{format_bytes(self.bytes_a_month)}/month")
        if self.requests_a_minute is not None:
            said.append(f"{self.requests_a_minute}/minute")
        return " ".join(said)


def parse_quota(texts: Iterable[str]) -> Quota:
    """The quota that ``texts`` name together. Raises ``QuotaMalformed``."""
    month: int | None = None
    minute: int | None = None
    for text in texts:
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise QuotaMalformed(text[:80], "it is no amount with /month or /minute")
        unit, per = match["unit"].lower(), match["per"]
        if per == "month":
            if unit not in _UNITS:
                raise QuotaMalformed(text[:80], "a month's amount names its unit, like GB")
            if month is not None:
                raise QuotaMalformed(text[:80], "there is another amount for a month")
            month = round(float(match["amount"]) * _UNITS[unit])
        elif per == "minute":
            if unit or "." in match["amount"]:
                raise QuotaMalformed(text[:80], "a minute's amount is a whole number of requests")
            if minute is not None:
                raise QuotaMalformed(text[:80], "there is another amount for a minute")
            minute = int(match["amount"])
        else:
            raise QuotaMalformed(text[:80], "it counts a month or a minute")
        if 0 in (month, minute):
            raise QuotaMalformed(text[:80], "nothing at all could pass")
    return Quota(month, minute)


def format_bytes(amount: int) -> str:
    """``amount`` with the largest unit in which it is a whole number, decimal before binary."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= size and amount % size == 0:
            return f"{amount // size}{unit}"
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount >= size and amount % size == 0:
            return f"{amount // size}{unit}"
    return f"{amount}B"


def month_of(unix: float) -> str:
    """The calendar month that ``unix`` lies in, ``2026-11``."""
    return _month_of_day(int(unix) // 86_400)


@lru_cache(maxsize=64)
def _month_of_day(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m")


def seconds_to_next_month(unix: float) -> int:
    """How long until the calendar month ends, rounded up."""
    now = datetime.fromtimestamp(unix, UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() - unix) + 1


@dataclass(frozen=True, slots=True)
class OverQuota:
    """A visitor must be refused."""

    what: str
    """``bytes`` or ``requests``."""
    retry_after: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A quota is used up to 80 %, or wholly."""

    what: str
    """``bytes-per-month``, ``requests-per-minute``, ``requests-per-month`` …"""
    used: int
    limit: int
    whose: str = "own"
    """``own``, or the way whose vendor set it."""
    source: str = ""
    """Of a vendor's quota: what it says, as of when, and where."""


class Crossings:
    """Of the shares that are warned of, how many a use has reached: each is told once, until it has
    fallen below the first."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told = 0

    def crosses(self, used: int, limit: int) -> bool:
        """Whether a warning is due, now that so much is used."""
        reached = sum(used >= share * limit for share in WARN_SHARES)
        is_due = reached > self._told
        self._told = max(reached, self._told) if reached else 0
        return is_due


class MinuteWindow:
    """Requests of the last sixty seconds, exactly; memory is bounded by the limit."""

    __slots__ = ("_crossings", "_limit", "_times")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque()
        self._crossings = Crossings()

    def take(self, now: float) -> OverQuota | None:
        """One request more, unless that would be too many; then when there is room again."""
        times = self._times
        oldest = now - MINUTE
        while times and times[0] <= oldest:
            times.popleft()
        if len(times) >= self._limit:
            return OverQuota("requests", max(1, int(times[0] + MINUTE - now) + 1))
        times.append(now)
        return None

    @property
    def used(self) -> int:
        """How many there are now, as of the last ``take``."""
        return len(self._times)

    def warning(self) -> Warned | None:
        """The warning that is due."""
        if not self._crossings.crosses(len(self._times), self._limit):
            return None
        return Warned("requests-per-minute", len(self._times), self._limit)


class MonthWindow:
    """What was used of a month's amount, by all processes and since before this one began."""

    __slots__ = ("_crossings", "_month", "limit", "used", "what")

    def __init__(self, what: str, limit: int, *, used: int, unix: float) -> None:
        self.what = what
        self.limit = limit
        self.used = used
        self._month = month_of(unix)
        self._crossings = Crossings()

    def add(self, amount: int, unix: float) -> None:
        """So much more was used; with a new month everything begins anew."""
        month = month_of(unix)
        if month != self._month:
            self._month, self.used, self._crossings = month, 0, Crossings()
        self.used += amount

    def over(self, unix: float) -> OverQuota | None:
        """Whether nothing more may pass."""
        if self.used < self.limit or month_of(unix) != self._month:
            return None
        return OverQuota("bytes", seconds_to_next_month(unix))

    def warning(self) -> Warned | None:
        """The warning that is due."""
        is_due = self._crossings.crosses(self.used, self.limit)
        return Warned(self.what, self.used, self.limit) if is_due else None


class Gauge:
    """What there is at one moment: requests in flight, seconds of a session."""

    __slots__ = ("_crossings", "limit", "used", "what")

    def __init__(self, what: str, limit: int) -> None:
        self.what = what
        self.limit = limit
        self.used = 0
        self._crossings = Crossings()

    def warning(self) -> Warned | None:
        """The warning that is due."""
        is_due = self._crossings.crosses(self.used, self.limit)
        return Warned(self.what, self.used, self.limit) if is_due else None
