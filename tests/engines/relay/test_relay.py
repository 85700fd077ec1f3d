"""Our own relay passes the suite that every engine passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from underpass.assembly import serve_relay
from underpass.model.options import RelayAccess, RelayOptions
from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite


class RelayBench(DriverBench):
    engine = "relay"

    async def start(self) -> None:
        options = RelayOptions(state_dir=self.home / "relay", listen=("127.0.0.1", 0), dev=True)
        self.relay = await serve_relay(options)
        self.stack.push_async_callback(self.relay.close)
        assert self.relay.enrol_token_file is not None
        self.token_file = self.relay.enrol_token_file

    def wrong_credential(self) -> Options:
        self.token_file.write_text("up_" + "x" * 43)
        return {}

    def open_options(self) -> dict[str, Any]:
        return {
            "relay": RelayAccess(url=self.relay.link_url),
            "enrol_token_file": self.token_file,
        }

    def secrets(self) -> dict[str, str]:
        return {"the enrolment token": self.token_file.read_text().strip()}


class TestRelay(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with RelayBench(tmp_path, runtime) as bench:
            yield bench
