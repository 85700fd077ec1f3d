"""The door of an engine that passes visitors' TLS on unopened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from underpass.drivers.foreign_door import ForeignDoor
from underpass.drivers.plans import DoorKind, Plan
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import forge
from underpass.model.origin import Kind
from underpass.model.spec import parse_spec
from underpass.testing.certificates import client_context, self_signed, server_context
from underpass.testing.origins.http import HttpOrigin

PLAN = Plan("ngrok", "nobody", secure=True, passthrough=True, door=DoorKind.PORT)


@pytest.mark.parametrize("has_certificate", [True, False])
async def test_visitors_tls_ends_in_the_gatehouse_or_nowhere(
    runtime: Path, has_certificate: bool
) -> None:
    certificate = self_signed("tools.example")
    async with HttpOrigin() as origin:
        spec = parse_spec(f"{origin.port} --public --for 30m")
        house = Gatehouse(
            GatehouseSettings(spec.origin, spec.kind, "tools", "one", bytes(32)),
            forge(spec.gates, public=True).guard,
            tls=server_context(certificate) if has_certificate else None,
        )
        house.set_public_urls(["https://tools.example"])
        door = await ForeignDoor.open(house, PLAN, Kind.HTTP, runtime)
        dialling = asyncio.open_connection(
            "127.0.0.1",
            door.address.port,
            ssl=client_context(certificate),
            server_hostname="tools.example",
        )
        try:
            if not has_certificate:
                with pytest.raises(OSError):
                    await dialling
                return
            reader, writer = await dialling
            writer.write(b"GET /own HTTP/1.1\r\nHost: tools.example\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert [each.target for each in origin.requests] == ["/own"]
            writer.transport.abort()
        finally:
            await door.close()
            house.close()
