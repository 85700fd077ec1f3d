"""A real ``bore server`` on a loopback address of its own: its control port cannot be chosen."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 25.0
CONTROL_PORT = 7835


def engines_bin() -> Path:
    """Where ``make engines`` puts programs."""
    chosen = os.environ.get("UNDERPASS_ENGINES")
    return Path(chosen or Path.home() / ".cache" / "underpass" / "engines") / "bin"


def path_with_engines() -> str:
    """PATH, with those programs first."""
    return f"{engines_bin()}{os.pathsep}{os.environ.get('PATH', '')}"


def need_bore() -> None:
    """Skip the test where there is no bore; in CI that is a failure."""
    if shutil.which("bore", path=path_with_engines()) is None:
        why = "no bore: make engines"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


class BoreServer:
    """One server. ``start`` and ``stop`` as often as wanted: the address stays."""

    def __init__(self, directory: Path, *, secret: str = "", ports: range = range(1024, 65_536)):
        self.host = ""
        self._secret = secret
        self._ports = ports
        self._log = directory / "bore-server.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Serve; returns when connections are taken."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while loop.time() < deadline:
            for host in [self.host] if self.host else _hosts():
                if await self._serve(host):
                    self.host = host
                    return
            await asyncio.sleep(0.1)  # whoever holds the port says nothing when it ends
        raise AssertionError(f"bore server cannot listen:\n{self._log.read_text()}")

    async def _serve(self, host: str) -> bool:
        program = shutil.which("bore", path=path_with_engines())
        assert program is not None
        environment = {"NO_COLOR": "1", "RUST_LOG": "info"}
        if self._secret:
            environment["BORE_SECRET"] = self._secret
        with open(self._log, "wb") as log:  # noqa: ASYNC230  (a test's file, opened for a child)
            process = await asyncio.create_subprocess_exec(
                *(program, "server", "--bind-addr", host),
                *("--min-port", str(self._ports[0]), "--max-port", str(self._ports[-1])),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        self._process = process
        async with asyncio.timeout(PATIENCE):
            while b"server listening" not in self._log.read_bytes():
                if process.returncode is not None:
                    return False
                await asyncio.sleep(0.02)
        return True

    async def stop(self) -> None:
        """Kill it, as a host that goes down does. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _hosts() -> tuple[str, str]:
    """Addresses to try. Somebody else's server on all of IPv4 leaves only IPv6, so that is first;
    where it is taken or there is none, every address of the loopback network has its own port."""
    pick: Callable[[int, int], int] = random.SystemRandom().randint
    return "::1", f"127.{pick(1, 254)}.{pick(1, 254)}.{pick(1, 254)}"
