"""How quick engines were when they were last measured, with the date: to compare, not to promise.

Taken from the conformance runs (``docs/conformance.md``), over the real programs, on two busy
cores. An engine that was not measured yet is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """One engine, in one run."""

    version: str
    live: float
    """Seconds from `underpass open` to the first proof."""
    frozen: float
    """Seconds until a far end that froze was noticed by us."""
    recovered: float
    """Seconds from the far end's return to a proof."""
    as_of: date

    def sentence(self) -> str:
        """For people, with its date."""
        return (
            f"measured {self.as_of} with {self.version}: live after {self.live:g} s, a frozen far "
            f"end noticed after {self.frozen:g} s, live again {self.recovered:g} s after its return"
        )


_RUN: Final = date(2026, 11, 23)

TIMINGS: Final[Mapping[str, Timing]] = MappingProxyType(
    {
        "relay": Timing("underpass 0.1.0", 0.1, 8.9, 1.2, _RUN),
        "bore": Timing("bore 0.6.0", 0.2, 25, 0.2, _RUN),
        "ssh": Timing("OpenSSH 9.2p1", 0.5, 8.1, 0.4, _RUN),
        "ssh-service": Timing("OpenSSH 9.2p1, a service of our own", 0.2, 8.5, 0.1, _RUN),
    }
)
"""By the engine's word."""
