"""A tailnet of two nodes under a headscale, and a visitor who comes from the second one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from tests.edges.headscale import Headscale
from tests.edges.tailscale import PATIENCE, Node, path_with_engines

from underpass.drivers.tailscale.local_api import LocalApi
from underpass.testing.driver_bench import DriverBench

CUTS = "tailscaled ends a connection as soon as one side has said all"
"""Why half-close cannot be shown: its forwarding copies both ways and stops when one has ended."""

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Tailnet:
    """Started once for many tests: joining takes five seconds. Bound to no event loop."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="up-"))
        self.headscale = Headscale(self.directory)
        self.nodes: list[Node] = []
        self.key = ""

    async def start(self) -> None:
        """Control server; ``alpha`` where tunnels are opened, ``beta`` where visitors come from,
        ``stranger`` who has joined nothing."""
        await self.headscale.start()
        self.key = await self.headscale.key()
        self.alpha, self.beta = await asyncio.gather(self.join("alpha"), self.join("beta"))
        self.stranger = self.node("stranger")
        await self.stranger.start()

    async def join(self, name: str, key: str = "") -> Node:
        """One more node."""
        node = self.node(name)
        await node.start()
        await node.join(key or self.key)
        return node

    def node(self, name: str) -> Node:
        """A node that is not started yet."""
        node = Node(self.directory, name, self.headscale.url, self.headscale.ca)
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.stop()
        self.headscale.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class TailnetBench(DriverBench):
    """Tunnels of a tailnet that is there already; visitors come from ``beta``."""

    engine = "tailscale"

    def __init__(self, home: Path, runtime: Path, tailnet: Tailnet) -> None:
        super().__init__(home, runtime)
        self.tailnet = tailnet

    def variables(self) -> dict[str, str]:
        """More variables of the user."""
        return {}

    async def start(self) -> None:
        variables = {"PATH": path_with_engines(), **self.variables()}
        self.stack.enter_context(mock.patch.dict(os.environ, variables))

    async def connect(self, url: str) -> Wire:
        return await visit(self.tailnet.beta, url)


async def visit(node: Node, url: str) -> Wire:
    """Come to ``url`` from ``node``, as a program there does."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    async with LocalApi(node.socket) as api:
        made = await api.dial(parts.hostname, port)
    return await asyncio.open_connection(sock=made, limit=1 << 22)


async def mesh(
    *words: str, node: Node, key: str = "", say: list[str] | None = None
) -> tuple[int, Any]:
    """Exit code and result of ``underpass mesh`` on ``node``; ``say`` gets what it says besides."""
    environment = {**node.environment, "PATH": path_with_engines()}
    process = await asyncio.create_subprocess_exec(
        *(*node.prefix, sys.executable, "-m", "underpass", "mesh", *words, "--json"),
        *("--socket", str(node.socket)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "TS_AUTHKEY": key} if key else environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE * 2):
        async for line in process.stderr:
            if say is not None:
                say.append(line.decode())
        out = await process.stdout.read()
        code = await process.wait()
    return code, json.loads(out)


def codes(view: dict[str, Any]) -> dict[str, str]:
    """What was found in a view, by whom it is about."""
    return {each["subject"]: each["code"] for each in view["findings"]}
