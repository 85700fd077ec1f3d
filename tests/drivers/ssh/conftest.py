"""A real sshd with its keys, and the options by which ssh finds it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from underpass.testing.sshd import SshKeys, SshServer, missing_for_sshd, write_known_hosts


class Far:
    """Servers on loopback ports, one key for all."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.keys = SshKeys(home / "keys")
        self.known_hosts = home / "known_hosts"
        self.servers: list[SshServer] = []

    async def server(self, *lines: str) -> SshServer:
        """One more server, known to us."""
        server = SshServer(self.home / f"far-{len(self.servers)}", self.keys, lines=lines)
        self.servers.append(server)
        await server.start()
        write_known_hosts(self.known_hosts, *self.servers)
        return server

    def options(self, **more: str) -> dict[str, str]:
        """Options of a way over all servers, first to last."""
        return {
            "via": ",".join(server.where for server in self.servers),
            "identity": str(self.keys.known),
            "known-hosts": str(self.known_hosts),
            "config": "none",
            **more,
        }


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    """Servers for as long as the test runs."""
    if (why := missing_for_sshd()) is not None and not os.environ.get("CI"):
        pytest.skip(why)  # in CI nothing may be missing: there the test fails instead
    it = Far(tmp_path)
    async with AsyncExitStack() as stack:
        yield it
        for server in it.servers:
            stack.push_async_callback(server.stop)


@pytest.fixture
def place() -> Iterator[Path]:
    """A private directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="up-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
