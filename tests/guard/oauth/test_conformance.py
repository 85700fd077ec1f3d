"""The oauth gate passes the suite that every gate passes."""

from __future__ import annotations

import pytest
from tests.guard.oauth.conftest import URL, Site

from underpass.guard.gates import GateMaker
from underpass.guard.oauth.origin_gate import OriginOAuthGate
from underpass.guard.oauth.place import place_of
from underpass.testing.gate_bench import GateBench, Shown
from underpass.testing.gate_suite import GateSuite


class Tokens(GateBench):
    """Our own server's gate; each honest visitor shows the one token."""

    text = "oauth"

    def __init__(self) -> None:
        site = Site()
        self.token = site.tokens(site.register()["client_id"])["access_token"].encode()
        self.hidden = (self.token,)
        self.maker: GateMaker | None = lambda spec, materials: site.gate

    def honest(self) -> Shown:
        return Shown([(b"Authorization", b"Bearer " + self.token)])


class TestOAuth(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return Tokens()


def test_the_origins_gate_needs_no_more_than_a_token_and_names_nobody():
    """It lets the origin judge, so the suite's changed credentials pass it on purpose."""
    gate = OriginOAuthGate()
    gate.place = place_of(URL)
    shown = Shown([(b"Authorization", b"Bearer changed")])
    outcome = gate.judge(shown.head, shown.peer)
    assert getattr(outcome, "strip", None) == ()
