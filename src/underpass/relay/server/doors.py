"""What the server needs from whoever opens the ports that tunnels own."""

from __future__ import annotations

from typing import Protocol

from underpass.relay.protocol.records import Terms


class Doors(Protocol):
    """Listeners of single tunnels: a loopback port each on a development relay, a port of the
    range for open tcp tunnels."""

    def wants_port(self, terms: Terms) -> bool:
        """Whether a tunnel of these terms gets a port of its own here."""

    async def open(self, name: str, terms: Terms, port: int | None) -> int:
        """Listen for the tunnel, at its own port if it has one and it is free; returns the port.

        Idempotent for a port that is open already. Raises ``PortsExhausted``, ``NoPublicPorts``.
        """

    def close(self, port: int) -> None:
        """Listen there no more; visitors that are in stay. Idempotent."""


class NoDoors:
    """A relay on which no tunnel gets a port of its own."""

    def wants_port(self, terms: Terms) -> bool:
        """Never."""
        return False

    async def open(self, name: str, terms: Terms, port: int | None) -> int:
        """Not called, since no tunnel wants a port."""
        raise LookupError(name)

    def close(self, port: int) -> None:
        """There is nothing to close."""
