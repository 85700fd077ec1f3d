"""A real localtunnel server from npm, on a loopback port of its own, and the client beside it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from tests.e2e.node_clients import installed

from underpass.testing.sshd import free_port

PATIENCE = 25.0
PACKAGES = Path(__file__).resolve().parents[1] / "engines" / "plugin" / "node"
DOMAIN = "lt.localhost"


def packages() -> Path:
    """Where npm has put client and server, as the lock file says."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        why = "no node or npm: make packages"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return installed(PACKAGES) / "node_modules"


class LocaltunnelServer:
    """One server. ``start`` and ``stop`` as often as wanted: the address stays."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._log = directory / "localtunnel-server.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def where(self) -> str:
        """Its address, as clients want it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def url(self, name: str) -> str:
        """Where visitors of ``name`` come."""
        return f"http://{name}.{DOMAIN}:{self.port}"

    async def start(self) -> None:
        """Serve; returns when connections are taken."""
        home = packages()
        with open(self._log, "wb") as log:  # noqa: ASYNC230  (a test's file, opened for a child)
            self._process = await asyncio.create_subprocess_exec(
                *("node", "-r", "esm", str(home / "localtunnel-server" / "bin" / "server")),
                *("--port", str(self.port), "--address", "127.0.0.1"),
                *("--domain", f"{DOMAIN}:{self.port}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "DEBUG": "localtunnel"},
                cwd=home.parent,
            )
        async with asyncio.timeout(PATIENCE):
            while b"server listening" not in self._log.read_bytes():
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Kill it, as a host that goes down does. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
