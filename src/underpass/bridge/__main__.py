"""``python -m underpass.bridge``: the process of one bridge, started by ``keeper``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext

import msgspec
import uvicorn

from underpass.bridge.app import serving
from underpass.bridge.settings import BridgeNews, BridgeSettings


async def main() -> int:
    """Serve until stdin ends or a signal comes; the exit code."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = msgspec.json.decode(await reader.readline(), type=BridgeSettings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings) as bridge:
        if not await bridge.children.ready():
            _tell("failed")
            return 1
        config = uvicorn.Config(
            bridge.application,
            uds=settings.socket,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            date_header=True,
            timeout_keep_alive=3600,
        )
        server = _Server(config)
        serve = asyncio.create_task(server.serve(), name="serve")
        await server.wait_started()
        os.chmod(settings.socket, 0o600)
        _tell("ready")
        waits = [
            asyncio.create_task(stop.wait(), name="wait for a signal"),
            asyncio.create_task(reader.read(), name="wait for the end of stdin"),
        ]
        await asyncio.wait([serve, *waits], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        server.should_exit = True
        server.force_exit = True
        await serve
    return 0


class _Server(uvicorn.Server):
    """Signals are ours to hear."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._is_up = asyncio.Event()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Nothing: ``main`` listens."""
        return nullcontext()

    async def startup(self, sockets: object = None) -> None:
        """As always, and say so."""
        await super().startup()
        self._is_up.set()

    async def wait_started(self) -> None:
        """Wait until it listens."""
        await self._is_up.wait()


def _tell(event: str) -> None:
    sys.stdout.write(msgspec.json.encode(BridgeNews(event)).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
