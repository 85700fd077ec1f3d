"""Connections are kept for a while, closed before the origin would, and never shared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.gatehouse.conftest import RecordingVisitor, answering, raw_origin, request

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer

Make = Callable[..., Gatehouse]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(gatehouse: Gatehouse) -> None:
    visitor = RecordingVisitor()
    gatehouse.open_http(visitor, request(), Peer(""))
    assert await visitor.answer() == (200, b"ok")


async def test_kept_connection_is_closed_before_the_origin_would(
    make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("underpass.gatehouse.origin.pool.IDLE_SECONDS", 0.05)
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        await ask(gatehouse)
        assert gatehouse.statistics().idle == 1
        await origin.until(lambda origin: origin.closed)
        assert gatehouse.statistics().idle == 0


async def test_no_more_than_so_many_are_kept(make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("underpass.gatehouse.origin.pool.MAX_IDLE", 2)
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitors = [RecordingVisitor() for _ in range(4)]
        for visitor in visitors:
            gatehouse.open_http(visitor, request(), Peer(""))
        for visitor in visitors:
            await visitor.answer()
        await origin.until(lambda origin: origin.closed == 2)
        assert gatehouse.statistics().idle == 2


async def test_connection_that_must_close_is_not_kept(make_gatehouse: Make):
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(closing)) as origin:
        gatehouse = make_gatehouse(origin.text)
        await ask(gatehouse)
        await origin.until(lambda origin: origin.closed)
        assert gatehouse.statistics().idle == 0


async def test_closed_gatehouse_leaves_no_connection(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        await ask(gatehouse)
        gatehouse.close()
        gatehouse.close()
        await gatehouse.wait_closed()
        assert gatehouse.statistics().connections == 0
        await origin.until(lambda origin: origin.closed)
