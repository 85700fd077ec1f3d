"""Every gate that comes with us passes the suite that plug-ins are given."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.guard.issuer import AUDIENCE, KEYS, NOW, claims, sign
from tests.guard.test_signature import SECRETS, SENDERS

from underpass.guard.gates import Materials, Peer
from underpass.guard.peer import ClientCertificate
from underpass.guard.secrets import Secret
from underpass.testing.gate_bench import GateBench, Shown
from underpass.testing.gate_suite import GateSuite

TOKEN = "up_" + "Ab1-" * 10 + "xyz"


class Simple(GateBench):
    """A gate that one secret opens."""

    hidden = (TOKEN.encode(),)

    def __init__(self, text: str) -> None:
        self.text = text
        self.asks_path = text == "link"

    def secrets(self) -> Mapping[str, Secret]:
        return {self.text.partition(":")[0]: Secret(TOKEN)}

    def honest(self) -> Shown:
        if self.text == "link":
            return Shown(target=b"/" + TOKEN.encode() + b"/page?x=1")
        if self.text == "bearer":
            return Shown([(b"Authorization", b"Bearer " + TOKEN.encode())])
        pair = b64encode(f"alice:{TOKEN}".encode())
        return Shown([(b"Authorization", b"Basic " + pair)])


class TestBearer(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Simple("bearer")


class TestBasic(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Simple("basic:alice")


class TestLink(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Simple("link")


class Addresses(GateBench):
    text = "ip:10.0.0.0/8,2001:db8::/32"
    asks_peer = True

    def honest(self) -> Shown:
        return Shown(peer=Peer("::ffff:10.1.2.3"))


class TestIp(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Addresses()


class Certificates(GateBench):
    text = "mtls:file:/etc/ca.pem,name=alice@example.com"
    asks_peer = True

    def honest(self) -> Shown:
        now = time.time()
        shown = ClientCertificate(("alice@example.com",), "ab" * 32, now - 60, now + 60)
        return Shown(peer=Peer("203.0.113.9", secure=True, certificate=shown))


class TestMtls(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Certificates()


class Webhooks(GateBench):
    def __init__(self, scheme: str) -> None:
        self.text = f"signature:{scheme}"
        self.hidden = tuple(secret.encode() for secret in SECRETS.values())
        self._scheme = scheme

    def materials(self) -> Materials:
        return Materials(environment=SECRETS, wall_clock=lambda: float(NOW))

    def honest(self) -> Shown:
        body = b'{"event":"Paid","n":1}'
        headers = SENDERS[self._scheme](body)
        return Shown([each for each in headers if each[0] != b"X-GitHub-Delivery"], body)


class TestStandardWebhooks(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Webhooks("standard")


class TestGithub(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Webhooks("github")


class TestStripe(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Webhooks("stripe")


class TestSlack(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Webhooks("slack")


class Tokens(GateBench):
    def __init__(self, keys: Path) -> None:
        self.text = f"jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{keys}"
        self._token = sign(claims(), kid="rsa")
        self.hidden = (self._token,)

    def materials(self) -> Materials:
        return Materials(wall_clock=lambda: float(NOW))

    def honest(self) -> Shown:
        return Shown([(b"Authorization", b"Bearer " + self._token)])


class TestJwt(GateSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> GateBench:
        keys = tmp_path / "jwks.json"
        keys.write_text(json.dumps(KEYS))
        return Tokens(keys)
