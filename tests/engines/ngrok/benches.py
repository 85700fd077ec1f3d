"""A user of ngrok for the conformance suite, with an edge of our own as the far end."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import ssl
import unittest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import trustme
from tests.canary import record_secret
from tests.edges.ngrok import DOMAIN, NgrokEdge
from tests.edges.ngrok_agent import install_agent
from tests.edges.ngrok_v3 import FarEnd, install_v3

from underpass.testing.driver_bench import DriverBench, Options

WRONG = "UNDERPASS_TEST_WRONG_NGROK"


class NgrokBench(DriverBench):
    """What the agent and the SDK have in common."""

    engine = "ngrok"
    client = ""
    quota_words = frozenset({"session-limit"})
    own_tls: tuple[Path, Path] | None = None
    """Certificate chain and key with which the gatehouse ends visitors' TLS."""

    async def start(self) -> None:
        self.token = f"2{secrets.token_urlsafe(30)}"
        record_secret("ngrok's authtoken", self.token)
        self.edge = NgrokEdge(self.home, token=self.token)
        # ngrok's own is 404 (ERR_NGROK_3200); the suite takes only 5xx for "nobody is here".
        self.edge.offline_status = 502
        await self.stack.enter_async_context(self.edge)
        self.trust = ssl.create_default_context(cafile=str(self.edge.ca))
        variables = {
            "NGROK_AUTHTOKEN": self.token,
            WRONG: f"2{secrets.token_urlsafe(30)}",
            # The prover trusts what the system trusts.
            "SSL_CERT_FILE": str(self.edge.ca),
            "HOME": str(self.home),
            **self.variables(),
        }
        self.stack.enter_context(mock.patch.dict(os.environ, variables))

    def variables(self) -> dict[str, str]:
        """More variables of the user."""
        return {}

    @property
    def server(self) -> str:
        """The edge, as this client wants it named."""
        return self.edge.server

    def options(self) -> Options:
        return {"client": self.client, "server": self.server, "server-ca": str(self.edge.ca)}

    def open_options(self) -> dict[str, Any]:
        if self.own_tls is None:
            return {}
        return {"tls_cert": self.own_tls[0], "tls_key": self.own_tls[1]}

    def wrong_credential(self) -> Options:
        return {**self.options(), "authtoken-env": WRONG}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        with self.edge.hold(f"held.{DOMAIN}"):
            yield {**self.options(), "url": f"held.{DOMAIN}"}

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        self.edge.session_limit = 0
        yield self.options()
        self.edge.session_limit = 3

    async def cut(self) -> None:
        await self.edge.kill()

    async def mend(self) -> None:
        await self.edge.start()

    async def freeze(self) -> None:
        self.edge.freeze()

    async def thaw(self) -> None:
        self.edge.thaw()

    def hostile_options(self, text: str) -> list[Options]:
        keys = ("url", "server", "server-ca", "authtoken-env", "authtoken-file", "client")
        return [{**self.options(), key: text} for key in keys]

    def secrets(self) -> dict[str, str]:
        return {"ngrok's authtoken": self.token}

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        tls: dict[str, Any] = {}
        if parts.scheme == "https":
            tls = {"ssl": self.trust, "server_hostname": parts.hostname}
        # Every name below .localhost is this machine, which not every resolver knows.
        return await asyncio.open_connection("127.0.0.1", parts.port, limit=1 << 22, **tls)


class AgentBench(NgrokBench):
    """The real agent 2.3.41."""

    variant = "agent 2.3.41"
    program = "ngrok"
    client = "program"

    def variables(self) -> dict[str, str]:
        place = install_agent(self.home / "bin")
        return {"PATH": f"{place}{os.pathsep}{os.environ.get('PATH', '')}"}


class SdkBench(NgrokBench):
    """The real SDK."""

    variant = "SDK"
    client = "sdk"

    async def start(self) -> None:
        if importlib.util.find_spec("ngrok") is None:
            why = "no ngrok SDK: pip install 'underpass[ngrok]'"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        await super().start()

    @property
    def server(self) -> str:
        return self.edge.named_server


class FakeV3Bench(NgrokBench):
    """FAKE: a program that behaves as agents 3.x are documented to, and is its own far end."""

    program = "ngrok"
    client = "program"
    variant = "agent 3.x, FAKE"

    def variables(self) -> dict[str, str]:
        authority = trustme.CA()
        trusted, chain = self.home / "v3-ca.pem", self.home / "v3-chain.pem"
        authority.cert_pem.write_to_path(str(trusted))
        authority.issue_cert(f"*.{DOMAIN}").private_key_and_cert_chain_pem.write_to_path(str(chain))
        self.far_end = FarEnd(self.token, str(chain))
        self.far_end.write(self.home)
        self.trust = ssl.create_default_context(cafile=str(trusted))
        place = install_v3(self.home / "bin")
        path = f"{place}{os.pathsep}{os.environ.get('PATH', '')}"
        return {"PATH": path, "SSL_CERT_FILE": str(trusted)}

    def options(self) -> Options:
        return {"client": self.client, "account": "paid"}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        replace(self.far_end, held=(f"held.{DOMAIN}",)).write(self.home)
        yield {**self.options(), "url": f"held.{DOMAIN}"}
        self.far_end.write(self.home)

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        replace(self.far_end, refuse=108).write(self.home)
        yield self.options()
        self.far_end.write(self.home)

    async def cut(self) -> None:
        raise unittest.SkipTest("FAKE: it is its own far end")

    async def freeze(self) -> None:
        raise unittest.SkipTest("FAKE: it is its own far end")
