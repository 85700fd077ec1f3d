"""A tunnel with a tailscaled of its own, in userspace and without root."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock

import pytest
from tests.edges.tailscale import QUIET, path_with_engines
from tests.engines.tailscale.tailnet import Tailnet, visit

from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite, refusal

pytestmark = [pytest.mark.xdist_group("tailscale"), pytest.mark.timeout(120)]

WRONG = "UNDERPASS_TEST_WRONG_KEY"


class PrivateBench(DriverBench):
    engine = "tailscale"
    variant = "private daemon"
    program = "tailscaled"
    tailnet: Tailnet

    async def start(self) -> None:
        self.stack.enter_context(
            mock.patch.dict(
                os.environ,
                {
                    **QUIET,
                    "PATH": path_with_engines(),
                    "SSL_CERT_FILE": str(self.tailnet.headscale.ca),
                    WRONG: f"hskey-auth-{'x' * 12}-{'y' * 64}",
                },
            )
        )
        self.key = self.home / "key"
        self.key.write_text(self.tailnet.key)
        self.key.chmod(0o600)

    def options(self) -> Options:
        return {
            "daemon": "private",
            "auth-key-file": str(self.key),
            "login-server": self.tailnet.headscale.url,
            "witness": str(self.tailnet.beta.socket),
            "inbound": "policy",
        }

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await visit(self.tailnet.beta, url)

    def secrets(self) -> dict[str, str]:
        return {"the key to join": self.tailnet.key}

    def wrong_credential(self) -> Options:
        options = {**self.options(), "auth-key-env": WRONG}
        del options["auth-key-file"]
        return options

    def far_end(self) -> list[int]:
        return [self.tailnet.beta.pid]

    async def cut(self) -> None:
        self.tailnet.beta.stop()

    async def mend(self) -> None:
        await self.tailnet.beta.start()

    def hostile_options(self, text: str) -> list[Options]:
        keys = (
            *("share", "port", "https", "daemon", "door", "witness", "auth-key-file"),
            *("auth-key-env", "login-server", "hostname", "tags", "state", "inbound"),
        )
        return [{**self.options(), key: text} for key in keys]


class TestPrivate(DriverSuite):
    @pytest.fixture
    async def bench(
        self, tailnet: Tailnet, tmp_path: Path, runtime: Path
    ) -> AsyncIterator[DriverBench]:
        made = PrivateBench(tmp_path, runtime)
        made.tailnet = tailnet
        async with made as bench:
            yield bench


@pytest.fixture
async def bench(tailnet: Tailnet, tmp_path: Path, runtime: Path) -> AsyncIterator[PrivateBench]:
    made = PrivateBench(tmp_path, runtime)
    made.tailnet = tailnet
    async with made as bench:
        yield bench


async def test_a_tailnet_that_lets_in_more_than_the_tunnel_is_refused(
    bench: PrivateBench,
) -> None:
    options = {**bench.options(), "inbound": "closed"}
    error = await refusal(bench, options)
    assert error.code == "engine-refused"
    assert getattr(error, "reason", "") == "inbound-open"
    assert "tcp:80" in str(error.hint)
