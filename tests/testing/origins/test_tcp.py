from __future__ import annotations

import asyncio
import hashlib

import pytest

from underpass.testing.certificates import client_context
from underpass.testing.origins import HalfCloseRecorder, Refuser, TcpEcho, TlsOrigin


async def test_the_echo_answers_and_ends_after_its_visitor() -> None:
    async with TcpEcho() as echo:
        reader, writer = await asyncio.open_connection(echo.host, echo.port)
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"last words"
        writer.close()
        await echo.wait_idle()
        assert (echo.accepted, echo.url) == (1, f"tcp://127.0.0.1:{echo.port}")


async def test_the_half_close_recorder_answers_only_after_the_half_close() -> None:
    async with HalfCloseRecorder() as origin:
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
        writer.write(b"all of it")
        answer = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        assert not answer.done()
        writer.write_eof()
        assert (await answer).decode() == hashlib.sha256(b"all of it").hexdigest()
        assert (await origin.half_closes.get()).size == 9
        writer.close()


async def test_the_tls_origin_refuses_plain_text_and_serves_tls() -> None:
    async with TlsOrigin() as origin:
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(100)
        writer.close()
        reader, writer = await asyncio.open_connection(
            origin.host,
            origin.port,
            ssl=client_context(origin.certificate),
            server_hostname="localhost",
        )
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_the_refuser_refuses_and_keeps_its_port() -> None:
    async with Refuser() as nobody:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(nobody.host, nobody.port)


async def test_a_stopped_origin_refuses_and_comes_back_on_its_port() -> None:
    async with TcpEcho() as echo:
        port = echo.port
        await echo.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await echo.start()
        assert echo.port == port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


async def test_cut_connections_are_reset() -> None:
    async with TcpEcho() as echo:
        reader, writer = await asyncio.open_connection(echo.host, echo.port)
        writer.write(b"x")
        await reader.readexactly(1)
        echo.cut_connections()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
