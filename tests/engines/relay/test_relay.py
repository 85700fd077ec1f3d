"""Our own relay, as a process of its own, passes the suite that every engine passes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from underpass.model.options import RelayAccess
from underpass.testing.driver_bench import PATIENCE, DriverBench, Options
from underpass.testing.driver_suite import DriverSuite
from underpass.testing.origins.http import HttpOrigin

NAMES = 2
"""That one key may own: tests open one tunnel at a time."""


class RelayBench(DriverBench):
    engine = "relay"
    quota_words: ClassVar = frozenset({"too-many-names"})

    async def start(self) -> None:
        self.listen = "127.0.0.1:0"
        self.process: asyncio.subprocess.Process | None = None
        self.stack.push_async_callback(self.cut)
        await self.mend()

    async def mend(self) -> None:
        self.process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "underpass", "relay", "serve", "--dev", "--json"),
            *("--listen", self.listen, "--state", str(self.home / "relay")),
            *("--max-names", str(NAMES)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            ready = json.loads(await process.stdout.readline())
        self.url = ready["link_url"]
        self.listen = self.url.removeprefix("http://")
        self.token_file = Path(ready["enrol_token_file"])

    async def cut(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            await process.wait()

    def far_end(self) -> list[int]:
        return [] if self.process is None else [self.process.pid]

    def wrong_credential(self) -> Options:
        self.token_file.write_text("up_" + "x" * 43)
        return {}

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        async with HttpOrigin() as origin:
            for number in range(NAMES):
                await (await self.open(f"{origin.port} --name kept-{number}")).close()
        yield {}

    def open_options(self) -> dict[str, Any]:
        return {"relay": RelayAccess(url=self.url), "enrol_token_file": self.token_file}

    def secrets(self) -> dict[str, str]:
        return {"the enrolment token": self.token_file.read_text().strip()}


class TestRelay(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with RelayBench(tmp_path, runtime) as bench:
            yield bench
