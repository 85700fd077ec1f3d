"""The worked example: a name, its way, a proof, and only then Access; by the real cloudflared.

The API's test server and the edge are one Cloudflare here: what is changed by the API holds at the
edge at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.edges.cloudflare import OWN_DOMAIN
from tests.edges.cloudflare_api import Account, Call, CloudflareApiServer
from tests.engines.cloudflare.bench import CloudflareBench

from underpass.drivers.cloudflare.engine import CloudflareEngine
from underpass.drivers.cloudflare.errors import ApiTokenRefused, NameTaken
from underpass.model.errors_run import LooseMode
from underpass.testing.canary import Canary
from underpass.testing.driver_bench import Options
from underpass.testing.driver_suite import bearer, refusal, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin


class ApiBench(CloudflareBench):
    """A tunnel that is managed at Cloudflare, and an API token for its account."""

    async def start(self) -> None:
        await super().start()
        self.api = CloudflareApiServer(Account(self.tunnel.account))
        await self.stack.enter_async_context(self.api)
        self.api.zone(OWN_DOMAIN)
        self.tunnel.remote = {"ingress": [{"service": "http://127.0.0.1:1"}]}
        account = self.api.account
        account.tunnels[self.tunnel.identity] = {
            "id": self.tunnel.identity,
            "config_src": "cloudflare",
        }
        account.configurations[self.tunnel.identity] = self.tunnel.remote
        self.api.on_change = self.changed
        self.visits_before_access = 0
        (self.home / "api.token").write_text(account.token)
        (self.home / "api.token").chmod(0o600)

    def changed(self, call: Call) -> None:
        """What the API is told holds at the edge."""
        account, weather = self.api.account, self.edge.door.weather
        if call.path.endswith("/access/apps"):
            self.visits_before_access = self.edge.door.visits
        self.tunnel.remote = account.configurations[self.tunnel.identity]
        tokens = {
            (each["client_id"], each["client_secret"]) for each in account.service_tokens.values()
        }
        weather.access = {each["domain"]: tokens for each in account.apps.values()}

    def options(self) -> Options:
        more = {"api": self.api.url, "api-token-file": str(self.home / "api.token")}
        return {**super().options(), **more}

    def guarded(self) -> Options:
        path = str(self.home / "access.fields")
        more = {"access": f"@{OWN_DOMAIN},service", "access-token-file": path}
        return {**self.options(), **more}

    def shown(self) -> dict[str, str]:
        """What a client of ``service`` shows, as it stands in the file."""
        path = self.home / "access.fields"
        assert path.stat().st_mode & 0o777 == 0o600
        return dict(line.split(": ", 1) for line in path.read_text().splitlines())


@pytest.fixture
async def bench(tmp_path: Path, runtime: Path) -> AsyncIterator[ApiBench]:
    async with ApiBench(tmp_path, runtime) as bench:
        yield bench


async def test_a_name_is_led_here_and_the_way_is_undone(bench: ApiBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        (record,) = bench.api.account.records.values()
        assert record["name"] == bench.tunnel.hostname
        assert record["content"] == f"{bench.tunnel.identity}.cfargotunnel.com"
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
        assert bench.api.account.apps == {}
        await tunnel.close()
    assert bench.api.account.records == {}
    closed = {"ingress": [{"service": "http_status:503"}]}
    assert bench.api.account.configurations[bench.tunnel.identity] == closed


async def test_access_is_put_on_after_the_proof_and_proofs_pass_it(bench: ApiBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --public --for 30m", bench.guarded())
        url = url_of(tunnel)
        # A proof went through before there was an application, and another one after it.
        assert 0 < bench.visits_before_access < bench.edge.door.visits
        assert tunnel.verdict.ok
        stranger = await ask(bench, url)
        assert stranger.status == 302
        assert "/cdn-cgi/access/" in stranger.headers["location"]
        assert (await ask(bench, url, "/", bench.shown())).status == 200
        assert (await tunnel.control.prove()).ok
        await tunnel.close()
    account = bench.api.account
    assert (account.apps, account.service_tokens, account.records) == ({}, {}, {})
    assert not (bench.home / "access.fields").exists()


async def test_access_stands_besides_our_gates_and_not_in_their_place(bench: ApiBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", bench.guarded())
        shown = bench.shown()
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 302
        assert (await ask(bench, url_of(tunnel), "/", shown)).status == 401
        assert (await ask(bench, url_of(tunnel), "/", {**shown, **bearer(tunnel)})).status == 200


async def test_a_tunnel_that_is_not_proved_never_has_access(bench: ApiBench) -> None:
    bench.edge.door.weather.answer = (502, "error code: 502")
    await refusal(bench, bench.guarded(), timeout=5.0)
    assert not any("/access/" in call.path for call in bench.api.calls)
    assert bench.api.account.records == {}


async def test_a_name_that_leads_elsewhere_starts_nothing(bench: ApiBench) -> None:
    name = bench.tunnel.hostname
    record = {"id": "0" * 32, "type": "A", "name": name, "content": "192.0.2.1"}
    bench.api.account.records["0" * 32] = {**record, "proxied": True}
    assert isinstance(await refusal(bench, bench.options()), NameTaken)
    assert bench.edge.registrations == []
    assert list(bench.api.account.records) == ["0" * 32]


async def test_an_api_token_that_is_refused_starts_nothing(bench: ApiBench) -> None:
    (bench.home / "api.token").write_text("another")
    assert isinstance(await refusal(bench, bench.options()), ApiTokenRefused)
    assert bench.edge.registrations == []


@pytest.mark.parametrize("name", ["api.token", "tunnel.token"])
async def test_a_secret_that_others_may_read_is_refused(bench: ApiBench, name: str) -> None:
    (bench.home / name).chmod(0o644)
    assert isinstance(await refusal(bench, bench.options()), LooseMode)


async def test_no_secret_of_cloudflares_shows_in_words_variables_or_logs(
    bench: ApiBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    canary = Canary()
    canary.watch_for("the API token", bench.api.account.token)
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", bench.guarded())
        (token,) = bench.api.account.service_tokens.values()
        canary.watch_for("the service token", token["client_secret"])
        engine = tunnel.engine
        assert isinstance(engine, CloudflareEngine)
        assert engine.plan is not None
        (door,) = (each for each in engine.plan.secrets)
        canary.watch_for("the door's secret", door.reveal())
        texts: dict[str, str | bytes] = {"log": caplog.text, "engine": repr(engine)}
        texts["plan"] = repr(engine.plan)
        assert "Registered tunnel connection" in caplog.text
        assert canary.scan(texts=texts) == []
