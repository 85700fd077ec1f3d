"""A gatehouse with a true origin behind it and a public door before it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import forge
from underpass.model.gates import parse_gate
from underpass.model.origin import parse_origin
from underpass.prove.clock import Clock, SystemClock
from underpass.prove.door import Door, PublicAddress, Trust
from underpass.prove.http_probe import HttpProbe, ReadPage
from underpass.prove.probes import Identity
from underpass.prove.strangers import foreign_address

KEY = bytes(range(32))


def _load_edge() -> ModuleType:
    # Tests are imported by path, so a module beside them has to be, too.
    name = "underpass_tests_edge"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("edge.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


edge_module = _load_edge()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The next request's head; b"" when none comes any more."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def answer_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin that answers every request with 200."""
    while await read_head(reader):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@dataclass
class Tunnel:
    """One tunnel under test: every part of it real, each one breakable."""

    origin: Any
    gatehouse: Any
    edge: Any
    gates: tuple[str, ...]
    token: str | None
    """What a visitor shows to a bearer gate."""
    name: str = "tools"
    instance: str = "one"
    cidrs: tuple[str, ...] | None = None
    """Networks of the ip gate as the prober is told them; None: as they are."""

    @property
    def identity(self) -> Identity:
        return Identity(self.name, self.instance, KEY)

    def probe(
        self,
        *,
        url: str | None = None,
        trust: Trust | None = None,
        seconds: float = 5.0,
        clock: Clock | None = None,
        proxy: tuple[str, int] | None = None,
        closed_paths: tuple[str, ...] = ("/",),
        read_page: ReadPage | None = None,
    ) -> HttpProbe:
        specs = [parse_gate(text) for text in self.gates]
        cidrs = self.cidrs or tuple(cidr for spec in specs for cidr in spec.cidrs)
        return HttpProbe(
            Door(PublicAddress.parse(url or self.edge.url), trust or Trust(), proxy),
            self.identity,
            clock or SystemClock(),
            stranger=foreign_address(cidrs) if cidrs else None,
            gate_kinds=tuple(spec.kind for spec in specs),
            closed_paths=closed_paths,
            read_page=read_page,
            seconds=seconds,
        )


OpenTunnel = Callable[..., Coroutine[Any, Any, Tunnel]]


@pytest.fixture
async def open_tunnel() -> AsyncIterator[OpenTunnel]:
    """Make tunnels with the gates named; they are gone when the test ends."""
    async with AsyncExitStack() as stack:

        async def make(*gates: str, **options: Any) -> Tunnel:
            handler = options.pop("handler", answer_hello)
            scheme = options.pop("scheme", "http")
            tls = options.pop("tls", None)
            origin = edge_module.Server(handler)
            await origin.start()
            stack.push_async_callback(origin.stop)
            where = parse_origin(f"{scheme}://127.0.0.1:{origin.port}")
            forged = forge([parse_gate(text) for text in gates], public=not gates)
            settings = GatehouseSettings(where, where.kind, "tools", "one", KEY)
            gatehouse = Gatehouse(settings, forged.guard, **options)
            stack.callback(gatehouse.close)
            edge = (
                edge_module.Port(gatehouse)
                if scheme == "tcp"
                else edge_module.Edge(gatehouse, tls=tls)
            )
            await edge.start()
            stack.push_async_callback(edge.stop)
            token = forged.secrets.get("bearer")
            return Tunnel(origin, gatehouse, edge, gates, token.reveal() if token else None)

        yield make
