"""What the origin takes for its visitors' address: one of this machine, and not loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable

import pytest
from tests.gatehouse.conftest import RecordingVisitor, raw_origin

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.origin.source import (
    LOOK_AGAIN_SECONDS,
    OriginSource,
    choose,
    machine_addresses,
)
from underpass.gatehouse.ports import Peer

Make = Callable[..., Gatehouse]


@pytest.mark.parametrize(
    ("candidates", "host", "chosen"),
    [
        (("127.0.0.1", "192.0.2.2"), "127.0.0.1", "192.0.2.2"),
        (("10.0.0.9", "10.0.0.10"), "127.9.9.9", "10.0.0.9"),
        (("10.0.0.9", "8.8.4.4"), "127.0.0.1", "8.8.4.4"),
        (("192.168.1.2", "fd00::2", "::1"), "::1", "fd00::2"),
        (("127.0.0.1", "127.0.0.2", "::1"), "127.0.0.1", ""),
        (("169.254.1.2", "fe80::1%eth0", "0.0.0.0", "224.0.0.1", "nonsense"), "127.0.0.1", ""),
        (("fd00::2",), "127.0.0.1", ""),
        (("192.0.2.2",), "::1", ""),
        (("192.0.2.2",), "192.0.2.7", ""),
        ((), "127.0.0.1", ""),
    ],
)
def test_an_address_of_this_machine_is_chosen_for_loopback_alone(
    candidates: tuple[str, ...], host: str, chosen: str
) -> None:
    assert choose(candidates, host) == chosen
    assert choose(reversed(candidates), host) == chosen


def test_addresses_are_looked_at_again_after_a_while() -> None:
    now, looks = [0.0], []

    def look() -> tuple[str, ...]:
        looks.append(now[0])
        return ("192.0.2.2",) if now[0] < LOOK_AGAIN_SECONDS else ("198.51.100.3",)

    source = OriginSource(lambda: now[0], look)
    assert source.address_for("127.0.0.1") == "192.0.2.2"
    now[0] = LOOK_AGAIN_SECONDS - 0.1
    assert source.address_for("127.0.0.1") == "192.0.2.2"
    now[0] = LOOK_AGAIN_SECONDS
    assert source.address_for("127.0.0.1") == "198.51.100.3"
    assert looks == [0.0, LOOK_AGAIN_SECONDS]


def test_an_address_that_is_gone_is_not_insisted_on() -> None:
    addresses = [("203.0.113.200",), ("203.0.113.201",)]
    source = OriginSource(lambda: 0.0, lambda: addresses.pop(0))
    assert source.bound_socket("127.0.0.1") is None
    assert addresses == []


def need_an_address() -> None:
    if not choose(machine_addresses(), "127.0.0.1"):
        why = "this machine has no address but loopback"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


async def peer_seen(make_gatehouse: Make, **settings: str) -> str:
    """What an origin that listens on loopback sees as its peer."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(writer.get_extra_info("peername")[0])
        await reader.read()

    async with raw_origin(serve) as origin:
        house = make_gatehouse(f"tcp://{origin.text}", **settings)
        exchange = house.open_bytes(RecordingVisitor(), Peer("203.0.113.9"))
        async with asyncio.timeout(10.0):
            peer = await seen.get()
        exchange.visitor_left("done")
    return peer


async def test_an_origin_on_loopback_sees_another_address_of_this_machine(
    make_gatehouse: Make,
) -> None:
    need_an_address()
    peer = await peer_seen(make_gatehouse)
    assert not ipaddress.ip_address(peer).is_loopback
    assert peer in machine_addresses()


async def test_an_origin_that_must_see_loopback_does_when_asked(make_gatehouse: Make) -> None:
    assert await peer_seen(make_gatehouse, peer="loopback") == "127.0.0.1"
