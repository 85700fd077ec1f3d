"""The oauth gate at an engine whose public side is plain HTTP: refused, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from random import randrange
from typing import Any

import pytest
from tests.edges import bore as edge
from tests.engines.bore.test_bore import BoreBench

from underpass.guard.oauth.errors import OAuthNeedsTls
from underpass.model.options import OAuthOptions
from underpass.testing.driver_bench import children
from underpass.testing.origins.http import HttpOrigin

pytestmark = pytest.mark.xdist_group("bore")  # one at a time at the fixed control port


class ChangingBench(BoreBench):
    """A user who does not mind that the URL changes, once she asks for OAuth."""

    may_change = False

    def open_options(self) -> dict[str, Any]:
        return {"oauth": OAuthOptions(changing_url=True)} if self.may_change else {}


@pytest.mark.parametrize("gate", ["oauth", "oauth:origin"])
async def test_tokens_do_not_travel_in_the_clear(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch, gate: str
):
    # Not 127.0.0.1, where plain HTTP is for development: the address of a server elsewhere.
    monkeypatch.setattr(edge, "_hosts", lambda: [f"127.77.{randrange(256)}.{randrange(1, 255)}"])
    before = set(children())
    async with HttpOrigin() as origin, ChangingBench(tmp_path, runtime) as bench:
        assert (await bench.open(f"{origin.port} --gate bearer")).verdict.ok, "the engine is well"
        bench.may_change = True
        with pytest.raises(OAuthNeedsTls) as caught:
            await bench.open(f"{origin.port} --gate {gate}")
        assert caught.value.code == "oauth-needs-tls"
        assert bench.server.host in caught.value.message
    assert bench.leftovers(before) == []
