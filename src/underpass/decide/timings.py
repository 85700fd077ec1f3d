"""How quick engines were when they were last measured, with the date: to compare, not to promise.

Taken from the conformance runs (``docs/conformance.md``), over the real programs, on two busy
cores, with far ends of ours in the place of vendors' services. What was not measured is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from underpass.decide.way import Way


@dataclass(frozen=True, slots=True)
class Timing:
    """One engine, in one run."""

    run: str
    """What the run is called there."""
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

_EDGE: Final = "an edge of our own"

TIMINGS: Final[Mapping[str, Timing]] = MappingProxyType(
    {
        "relay": Timing("relay", "underpass 0.1.0", 0.1, 8.9, 0.9, _RUN),
        "bore": Timing("bore", "bore 0.6.0", 0.2, 25, 0.1, _RUN),
        "ssh": Timing("ssh", "OpenSSH 9.2p1", 0.4, 8.2, 0.3, _RUN),
        "ssh-service": Timing(
            "ssh-service", "OpenSSH 9.2p1, a service of our own", 0.2, 8.4, 0.1, _RUN
        ),
        "ngrok": Timing("ngrok (SDK)", f"its SDK 1.4.0, {_EDGE}", 0.3, 7.9, 0.3, _RUN),
        "cloudflare-quick": Timing(
            "cloudflare (quick tunnel)", f"cloudflared 2026.7.3, {_EDGE}", 0.8, 25, 8.5, _RUN
        ),
        "cloudflare-named": Timing(
            "cloudflare (token)", f"cloudflared 2026.7.3, {_EDGE}", 0.7, 25, 3.3, _RUN
        ),
        "tailscale-serve": Timing(
            "tailscale (running daemon)", "tailscale 1.102.3, headscale", 0.6, 5.8, 6.6, _RUN
        ),
        "wireguard": Timing(
            "wireguard (wireguard-go)", "wireguard-go 0.0.20220316", 0.3, 6.4, 10.5, _RUN
        ),
    }
)
"""By the way, or else by the engine's word."""


def timing_of(way: Way) -> Timing | None:
    """How quick ``way`` was, if that was measured."""
    return TIMINGS.get(way.id) or TIMINGS.get(way.engine)
