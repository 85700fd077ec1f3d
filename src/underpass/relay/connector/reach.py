"""A gated tcp tunnel from the visitor's side: dials its relay's reach door.

Each local connection (``reach_bridge``), and each proof (``reach_wire``), becomes one reach
connection to the relay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from underpass.guard.secrets import Secret
from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import RelayUnreachable
from underpass.relay.connector.address import RelayAddress
from underpass.relay.connector.dial import Dialler, Doorway
from underpass.relay.connector.reach_bridge import LocalBridge
from underpass.relay.connector.reach_connection import ReachConnection
from underpass.relay.connector.reach_wire import ReachWire
from underpass.relay.links.websocket import REACH_PATH
from underpass.relay.protocol.frames import ALPN_REACH, REACH_MAGIC

ANSWER_TIMEOUT: Final = 15.0
"""Seconds for the relay's answer: it holds a visitor 5 s for a connector that is away."""


class Reacher:
    """Dials one relay for one tunnel."""

    def __init__(self, address: RelayAddress, name: str, token: Secret) -> None:
        self._dialler = Dialler(address, Doorway(REACH_MAGIC, ALPN_REACH, REACH_PATH))
        self._relay = str(address)
        self.name = name
        """The tunnel's."""
        self._token = token

    async def connect(self) -> ReachConnection:
        """One accepted reach connection.

        Raises ``RelayUnreachable``, ``RelayCertificateWrong``, ``NoSuchTunnel``,
        ``ReachRefused``.
        """
        connection, _ = await self._dialler.dial(
            lambda: ReachConnection(self.name, self._token, self._relay)
        )
        connection.introduce()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await connection.accepted
        except TimeoutError:
            connection.close()
            raise RelayUnreachable(relay=self._relay, why="it does not answer") from None
        except BaseException:
            connection.close()
            raise
        return connection

    async def dial(self) -> ReachWire:
        """One accepted connection as a wire to read and write (for proofs)."""
        return ReachWire(await self.connect(), self.name)

    async def serve(
        self, host: str, port: int, on_error: Callable[[UnderpassError], None]
    ) -> asyncio.Server:
        """Listen locally; each connection is carried to the tunnel. The caller closes it."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: LocalBridge(self, on_error), host, port)
