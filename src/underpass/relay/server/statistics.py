"""The relay in numbers, without a name in them: one tenant never sees another (faults, T35)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RelayStatistics:
    """What ``statistics()`` of a relay answers."""

    tunnels: int = 0
    """Names with an exposure."""
    tunnels_linked: int = 0
    """Of these, how many have a connector at the moment."""
    links: int = 0
    links_accepted: int = 0
    links_refused: int = 0
    streams: int = 0
    """Visitors' exchanges in flight."""
    keys: int = 0
    ports: int = 0
    """Ports that single tunnels own."""
    receive_bytes: int = 0
    """Credit granted to connectors, and bytes not yet drained to visitors."""
    replay_bytes: int = 0
    """Bytes kept for connectors until they are acknowledged."""
    draining: bool = False
    events: Mapping[str, int] = field(default_factory=dict)
    """What the edges counted, by kind."""
