"""ssh passes the suite that every engine passes, against a real sshd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite
from underpass.testing.sshd import SshKeys, SshServer, missing_for_sshd, write_known_hosts

pytestmark = pytest.mark.skipif(
    # In CI nothing may be missing: there the tests fail instead.
    missing_for_sshd() is not None and not os.environ.get("CI"),
    reason=str(missing_for_sshd()),
)


class SshBench(DriverBench):
    engine = "ssh"
    program = "ssh"

    async def start(self) -> None:
        self.keys = SshKeys(self.home / "keys")
        self.server = SshServer(self.home / "far", self.keys)
        await self.server.start()
        self.stack.push_async_callback(self.server.stop)
        write_known_hosts(self.home / "known_hosts", self.server)

    async def cut(self) -> None:
        await self.server.stop()

    async def mend(self) -> None:
        await self.server.start()

    def far_end(self) -> list[int]:
        return [self.server.pid, *(each.pid for each in self.server.sessions())]

    def options(self) -> Options:
        return {
            "via": self.server.where,
            "identity": str(self.keys.known),
            "known-hosts": str(self.home / "known_hosts"),
            "config": "none",
        }

    def wrong_credential(self) -> Options:
        return {**self.options(), "identity": str(self.keys.unknown)}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield {**self.options(), "port": str(port)}

    def hostile_options(self, text: str) -> list[Options]:
        keys = (
            *("via", "bind", "port", "url", "identity", "certificate", "known-hosts", "trust"),
            "control",
        )
        hops = [{**self.options(), "via": f"{self.server.where},{text}"}]
        return [{**self.options(), "port": "1", key: text} for key in keys] + hops

    def secrets(self) -> dict[str, str]:
        lines = self.keys.known.read_text().splitlines()
        return {"the private key": lines[2]}


class TestSsh(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with SshBench(tmp_path, runtime) as bench:
            yield bench
