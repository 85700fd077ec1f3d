"""What a supervisor is given to make a tunnel of, without knowing how any of it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from underpass.drivers.base import Opened
from underpass.gatehouse.books import ExchangeRecord, GatehouseStatistics
from underpass.gatehouse.ports import Carrier
from underpass.prove.probes import Probes


class House(Carrier, Protocol):
    """The gatehouse as its owner sees it."""

    def set_public_urls(self, urls: Iterable[str]) -> None:
        """Say under which URLs the tunnel is public."""

    def statistics(self) -> GatehouseStatistics:
        """The numbers of this moment."""

    def close(self) -> None:
        """Close every connection to the origin. Idempotent."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The makers of one tunnel's parts."""

    make_house: Callable[[Callable[[ExchangeRecord], None]], House]
    """Makes the gatehouse; it reports every exchange that ended to the callable it is given."""
    make_probes: Callable[[Opened, House], Probes]
    """Makes the prober, once the public side is known."""
    command: tuple[str, ...] = ()
    """The command that serves the origin, started when the URL is known; () for none."""
