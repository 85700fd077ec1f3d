"""Where one host's part of a network is written down: read whole, and seen to change."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from underpass.drivers.wireguard.keys import Keyring
from underpass.drivers.wireguard.topology import Topology, parse_topology


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Where a host's part is written down."""

    topology: Path
    keys: Path
    host: str

    def load(self) -> tuple[Topology, Keyring]:
        """Read them. Raises ``TopologyInvalid``, ``HostUnknown``, or ``OSError``."""
        topology = parse_topology(self.topology.read_text("utf-8"), str(self.topology))
        topology.host(self.host)
        return topology, Keyring(self.keys, topology)

    def mark(self) -> tuple[tuple[str, int, int, int], ...]:
        """What changes when any of them does, its mode too."""
        found = []
        files = [self.topology]
        with suppress(OSError):
            files += sorted(self.keys.iterdir())
        for path in files:
            with suppress(OSError):
                status = path.stat()
                found.append((path.name, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        return tuple(found)
