"""Fault proxies for measurements that themselves block: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TypeVar

from underpass.testing.fault_proxy import FaultProxy

Result = TypeVar("Result")


class Weather:
    """Fault proxies by the dozen; a context manager that ends them all."""

    def __enter__(self) -> Weather:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="weather")
        self._thread.start()
        self._proxies = AsyncExitStack()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._proxies.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def proxy(
        self, upstream: tuple[str, int], listen: tuple[str, int] = ("127.0.0.1", 0)
    ) -> FaultProxy:
        """A proxy in front of `upstream`; change it only inside `change`."""

        async def start() -> FaultProxy:
            host, port = listen
            return await self._proxies.enter_async_context(
                FaultProxy(*upstream, listen_host=host, listen_port=port)
            )

        return asyncio.run_coroutine_threadsafe(start(), self._loop).result()

    def change(self, act: Callable[[], Result]) -> Result:
        """Runs `act` in the proxies' thread; what it returns."""

        async def run() -> Result:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
