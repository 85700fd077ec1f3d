"""Quotas that the vendor of an engine set: counted here as far as they can be, and told as far as
they cannot. Nothing is refused over them, which is for the vendor to do. Pure.

What is counted is what came through this tunnel: other tunnels of the same account use up the same
quota, and so do our own proofs and the heads of messages. So the numbers are never too high.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from underpass.decide.quotas import Measure, QuotaFact
from underpass.observe.quota import Gauge, MinuteWindow, MonthWindow, Warned

OVER_HTTP: Final = frozenset({Measure.REQUESTS, Measure.REQUEST_RATE, Measure.IN_FLIGHT})
OVER_TCP: Final = frozenset({Measure.TCP_CONNECTIONS, Measure.TCP_RATE})
OVER_BOTH: Final = frozenset({Measure.TRANSFER, Measure.SESSION})

_RATES: Final = (Measure.REQUEST_RATE, Measure.TCP_RATE)
_GAUGES: Final = (Measure.IN_FLIGHT, Measure.SESSION)

Window = MinuteWindow | MonthWindow | Gauge


class VendorQuotas:
    """The quotas of one tunnel's vendor."""

    def __init__(
        self,
        facts: Iterable[QuotaFact],
        *,
        unix: float,
        is_tcp: bool = False,
        bytes_down: int = 0,
        exchanges: int = 0,
    ) -> None:
        """``bytes_down`` and ``exchanges`` are what this month has seen already."""
        here = OVER_BOTH | (OVER_TCP if is_tcp else OVER_HTTP)
        elsewhere = (OVER_HTTP | OVER_TCP) - here
        self._windows: list[tuple[QuotaFact, Window]] = []
        self.uncounted: list[QuotaFact] = []
        """Limits that exist and cannot be counted here."""
        for fact in facts:
            if fact.amount and fact.measure in here:
                used = bytes_down if fact.measure is Measure.TRANSFER else exchanges
                self._windows.append((fact, _window(fact, fact.amount, used, unix)))
            elif fact.measure not in elsewhere:
                self.uncounted.append(fact)

    def __bool__(self) -> bool:
        """Whether any is counted."""
        return bool(self._windows)

    def of(self, measure: Measure) -> QuotaFact | None:
        """The quota on ``measure`` that is counted here; None: there is none."""
        return next((fact for fact, _ in self._windows if fact.measure is measure), None)

    def ended(self, down: int, now: float, unix: float) -> list[Warned]:
        """One exchange is over, which sent ``down`` bytes to its visitor; warnings that are due."""
        due = []
        for fact, window in self._windows:
            if isinstance(window, MinuteWindow):
                window.take(now)
            elif isinstance(window, MonthWindow):
                window.add(down if fact.measure is Measure.TRANSFER else 1, unix)
            due += _due(fact, window)
        return due

    def reach(self, measure: Measure, amount: int) -> list[Warned]:
        """So much of ``measure`` there is at this moment; warnings that are due."""
        due = []
        for fact, window in self._windows:
            if fact.measure is measure and isinstance(window, Gauge):
                window.used = amount
                due += _due(fact, window)
        return due

    def to_list(self) -> list[dict[str, Any]]:
        """What is counted, for JSON."""
        return [
            {
                "what": str(fact.measure),
                "used": window.used,
                "limit": fact.amount,
                "whose": fact.ways[0],
                **_sourced(fact),
            }
            for fact, window in self._windows
        ]

    def uncounted_list(self) -> list[dict[str, Any]]:
        """What is not, for JSON."""
        return [
            {"what": str(fact.measure), "says": fact.says, "whose": fact.ways[0], **_sourced(fact)}
            for fact in self.uncounted
        ]


def _window(fact: QuotaFact, limit: int, used: int, unix: float) -> Window:
    if fact.measure in _RATES:
        return MinuteWindow(limit)
    if fact.measure in _GAUGES:
        return Gauge(str(fact.measure), limit)
    return MonthWindow(str(fact.measure), limit, used=used, unix=unix)


def _due(fact: QuotaFact, window: Window) -> list[Warned]:
    warned = window.warning()
    if warned is None:
        return []
    whose, said = fact.ways[0], f"{fact.sentence()}, {fact.source}"
    return [Warned(str(fact.measure), warned.used, warned.limit, whose, said)]


def _sourced(fact: QuotaFact) -> dict[str, Any]:
    return {"source": fact.source, "as_of": str(fact.as_of), "basis": str(fact.basis)}
