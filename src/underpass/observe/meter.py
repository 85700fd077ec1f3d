"""What a tunnel has carried, for whom and how quickly, and what its quotas say to that.

Told of every exchange when it ends, and of long ones while they last. No I/O: what has to survive a
restart is handed to whoever writes it (``take_unsaved``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import add as plus
from typing import Any, Final

from underpass.decide.quotas import Measure, QuotaFact
from underpass.observe.histogram import Histogram, bucket_of
from underpass.observe.quota import (
    MinuteWindow,
    MonthWindow,
    OverQuota,
    Quota,
    Warned,
    month_of,
    seconds_to_next_month,
)
from underpass.observe.tape import Tape
from underpass.observe.vendor_quotas import VendorQuotas

MOST_VISITORS: Final = 64
"""Visitors that are counted each by themselves; the rest share ``OTHERS``."""

OTHERS: Final = "other"
DENIED: Final = "denied"
"""Whoever no gate let in: strangers must not take the places of visitors."""

CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")

INFORM_BYTES: Final = 64 * 1024
"""How much of an exchange may pass before the meter is told: less than any quota is fine about."""


class Tally:
    """The counts of one visitor, or of all."""

    __slots__ = ("bytes_down", "bytes_up", "classes", "latency", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.classes = [0] * len(CLASSES)
        self.latency = Histogram()
        """Until the first byte of the answer."""

    def add(self, other: Tally) -> None:
        """Count what ``other`` has counted, too."""
        self.requests += other.requests
        self.bytes_up += other.bytes_up
        self.bytes_down += other.bytes_down
        self.classes = list(map(plus, self.classes, other.classes))
        self.latency.merge(other.latency)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; quantiles in milliseconds, or null where nothing was answered."""
        return {
            "requests": self.requests,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "classes": {
                name: count for name, count in zip(CLASSES, self.classes, strict=True) if count
            },
            "p50_ms": _milliseconds(self.latency.quantile(0.5)),
            "p99_ms": _milliseconds(self.latency.quantile(0.99)),
        }


@dataclass(slots=True)
class Usage:
    """What was used in one calendar month."""

    month: str
    bytes_up: int = 0
    bytes_down: int = 0
    requests: int = 0


class Meter:
    """The meter of one tunnel. Used on one loop; ``unix`` is the wall's clock, ``now`` any that
    does not go back."""

    def __init__(
        self,
        quota: Quota,
        *,
        unix: float,
        before: Usage | None = None,
        vendors: Iterable[QuotaFact] = (),
        is_tcp: bool = False,
    ) -> None:
        """``before`` is what this month has seen already; ``vendors`` are quotas of the engine's
        vendor, of which those on the kind of tunnel are counted."""
        self.quota = quota
        self.visitors: dict[str, Tally] = {}
        self._saved = Tally()
        """The total as of the last cut."""
        self._month_now = month_of(unix)
        self._month_ends = unix + seconds_to_next_month(unix) - 1
        self._unsaved: list[Usage] = []
        seen = before if before is not None and before.month == month_of(unix) else None
        used = seen or Usage(month_of(unix))
        self._month = (
            MonthWindow(
                "bytes-per-month",
                quota.bytes_a_month,
                used=used.bytes_up + used.bytes_down,
                unix=unix,
            )
            if quota.bytes_a_month is not None
            else None
        )
        self._minute = (
            MinuteWindow(quota.requests_a_minute) if quota.requests_a_minute is not None else None
        )
        self.vendors = VendorQuotas(
            vendors,
            unix=unix,
            is_tcp=is_tcp,
            bytes_down=used.bytes_down,
            exchanges=used.requests,
        )
        self._due: list[Warned] = []
        self.is_limited = self._month is not None or self._minute is not None
        """Whether ``admit`` may refuse anybody."""

    # Asked for each request that the gates have let in.

    def admit(self, now: float, unix: float) -> OverQuota | None:
        """Count one request more against the quota of its minute; who gets an answer other than
        None must be refused."""
        if self._month is not None and (over := self._month.over(unix)) is not None:
            return over
        if self._minute is None:
            return None
        over = self._minute.take(now)
        self._warn(self._minute.warning())
        return over

    # Told by whoever carries the traffic.

    def inform(self, tape: Tape, unix: float) -> None:
        """Bytes of an exchange that goes on."""
        told, size = tape.informed, tape.size
        tape.informed = size
        self._use_bytes(size - told, unix)

    def ended(self, tape: Tape, now: float, unix: float) -> None:
        """One exchange is over; bytes that ``inform`` has told are not counted twice."""
        if unix >= self._month_ends:
            self._cut()
            self._month_now = month_of(unix)
            self._month_ends = unix + seconds_to_next_month(unix) - 1
        up, down = tape.up.size, tape.down.size
        status = tape.status
        name = DENIED if tape.outcome == "denied" else tape.identity or tape.address or OTHERS
        tally = self.visitors.get(name) or self._new_visitor(name)
        tally.requests += 1
        tally.bytes_up += up
        tally.bytes_down += down
        tally.classes[status // 100 if 100 <= status < 600 else 0] += 1
        first = tape.first
        if first is not None:
            latency, seconds = tally.latency, first - tape.begun
            latency.counts[bucket_of(seconds)] += 1
            latency.total += seconds
        if self._month is not None:
            self._use_bytes(up + down - tape.informed, unix)
        tape.informed = up + down
        if self.vendors:
            self._due += self.vendors.ended(down, now, unix)

    def reach(self, measure: Measure, amount: int) -> None:
        """So much there is of ``measure``, which only a vendor limits, at this moment."""
        self._due += self.vendors.reach(measure, amount)

    # Asked by whoever writes and shows.

    @property
    def total(self) -> Tally:
        """The counts of all, as of now."""
        total = Tally()
        for tally in self.visitors.values():
            total.add(tally)
        return total

    @property
    def has_warnings(self) -> bool:
        """Whether any is due."""
        return bool(self._due)

    def take_warnings(self) -> list[Warned]:
        """Warnings that are due (``has_warnings``); each is given once."""
        due, self._due = self._due, []
        return due

    def take_unsaved(self) -> list[Usage]:
        """What was used since the last call, a month each, to be added to what is stored."""
        self._cut()
        unsaved, self._unsaved = self._unsaved, []
        return unsaved

    def to_dict(self) -> dict[str, Any]:
        """The object under ``"meter"``."""
        quotas = [
            _quota_object(window.what, window.used, window.limit, "own")
            for window in (self._month,)
            if window is not None
        ]
        if self._minute is not None and self.quota.requests_a_minute is not None:
            limit = self.quota.requests_a_minute
            quotas.append(_quota_object("requests-per-minute", self._minute.used, limit, "own"))
        return {
            **self.total.to_dict(),
            "visitors": {name: tally.to_dict() for name, tally in self.visitors.items()},
            "quotas": [*quotas, *self.vendors.to_list()],
            "uncounted": self.vendors.uncounted_list(),
        }

    def _cut(self) -> None:
        """Note what was used since the last cut."""
        total, saved = self.total, self._saved
        self._saved = total
        if total.requests > saved.requests:
            self._unsaved.append(
                Usage(
                    self._month_now,
                    total.bytes_up - saved.bytes_up,
                    total.bytes_down - saved.bytes_down,
                    total.requests - saved.requests,
                )
            )

    def _new_visitor(self, name: str) -> Tally:
        """The row of a visitor that has none of its own yet; it may have to share one."""
        if name != DENIED and len(self.visitors) >= MOST_VISITORS:
            name = OTHERS
        return self.visitors.setdefault(name, Tally())

    def _use_bytes(self, count: int, unix: float) -> None:
        if self._month is not None and count:
            self._month.add(count, unix)
            self._warn(self._month.warning())

    def _warn(self, warned: Warned | None) -> None:
        if warned is not None:
            self._due.append(warned)


def _quota_object(what: str, used: int, limit: int, whose: str) -> dict[str, Any]:
    return {"what": what, "used": used, "limit": limit, "whose": whose}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
