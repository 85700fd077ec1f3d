from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect

from underpass.testing.origins import WebSocketEcho


async def test_text_and_binary_messages_come_back_as_they_were() -> None:
    async with WebSocketEcho() as echo, connect(echo.url, max_size=None) as client:
        for message in ("grüße", b"\x00\xff", "", b"x" * 3_000_000):
            await client.send(message)
            assert await client.recv() == message


async def test_the_close_code_of_a_visitor_is_kept() -> None:
    async with WebSocketEcho() as echo:
        async with connect(echo.url, max_size=None) as client:
            await client.close(4001, "enough")
        async with asyncio.timeout(5):
            assert await echo.closings.get() == (4001, "enough")
