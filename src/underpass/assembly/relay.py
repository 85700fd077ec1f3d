"""A relay put together: served on its own, or embedded in an ``open``."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.api.places import runtime_dir
from underpass.guard.control_ports import ControlPorts
from underpass.model.options import RelayOptions
from underpass.relay.server.key_text import key_text
from underpass.relay.server.serve import RunningRelay, serve

AUTHORISED: str = "authorised-keys"


async def serve_relay(options: RelayOptions) -> RunningRelay:
    """Start a relay; when this returns, it serves, and no tunnel of this user can lead to it."""
    relay = await serve(options)
    try:
        doors = ControlPorts(runtime_dir())
        relay.on_closed = doors.close
        for address, port, what in relay.doors():
            with suppress(ValueError):  # a host name: what it leads to may change
                doors.register("127.0.0.1" if address == "localhost" else address, port, what)
    except BaseException:
        await relay.close()
        raise
    return relay


@dataclass(frozen=True, slots=True)
class EmbeddedRelay:
    """A relay in the process of one ``open``, with a memory that ends with it."""

    relay: RunningRelay
    directory: Path

    @property
    def url(self) -> str:
        """Where the connector links to."""
        return self.relay.link_url

    async def close(self) -> None:
        """End it and forget what it knew. Idempotent."""
        await self.relay.close()
        shutil.rmtree(self.directory, ignore_errors=True)


async def embed_relay(runtime_dir: Path, key: Ed25519PrivateKey) -> EmbeddedRelay:
    """Start a relay on loopback that knows only ``key``."""
    directory = Path(tempfile.mkdtemp(prefix="relay-", dir=runtime_dir))
    try:
        keys = directory / AUTHORISED
        keys.write_text(key_text(key.public_key().public_bytes_raw()) + "\n")
        options = RelayOptions(
            state_dir=directory, listen=("127.0.0.1", 0), dev=True, authorised_keys=keys
        )
        return EmbeddedRelay(await serve(options), directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
