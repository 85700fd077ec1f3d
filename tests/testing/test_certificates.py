from __future__ import annotations

import asyncio
import ssl

import pytest

from underpass.testing.certificates import client_context, self_signed, server_context
from underpass.testing.origins import TcpEcho


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_client_that_trusts_the_certificate_is_served(name: str) -> None:
    certificate = self_signed("localhost", "127.0.0.1")
    async with TcpEchoOverTls(tls=server_context(certificate)) as echo:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", echo.port, ssl=client_context(certificate), server_hostname=name
        )
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_trusts_another_certificate_refuses() -> None:
    async with TcpEchoOverTls(tls=server_context(self_signed("localhost"))) as echo:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1",
                echo.port,
                ssl=client_context(self_signed("localhost")),
                server_hostname="localhost",
            )


def test_the_key_is_not_in_the_repr() -> None:
    assert "PRIVATE" not in repr(self_signed("localhost"))


class TcpEchoOverTls(TcpEcho):
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
