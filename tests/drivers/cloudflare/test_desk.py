"""The order of things at Cloudflare: the way first, Access last, and everything undone."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.drivers.cloudflare.conftest import HOSTNAME, TUNNEL, Waits
from tests.edges.cloudflare_api import CloudflareApiServer, envelope

from underpass.drivers.cloudflare.api import CloudflareApi
from underpass.drivers.cloudflare.changes import TunnelIdentity
from underpass.drivers.cloudflare.desk import Desk
from underpass.drivers.cloudflare.errors import (
    AccessUnproved,
    ApiRefused,
    NameTaken,
    TunnelUnknown,
)
from underpass.drivers.cloudflare.identity import from_credentials, from_token
from underpass.drivers.cloudflare.settings import CloudflareSettings
from underpass.drivers.cloudflare.stranger import is_stopped_outside, judge_answer
from underpass.drivers.plans import Site
from underpass.guard.secrets import Secret
from underpass.model.errors_run import LooseMode

RULES = [{"hostname": HOSTNAME, "service": "http://127.0.0.1:4000"}, {"service": "http_status:503"}]
OPTIONS = {"hostname": HOSTNAME, "token-file": "/t", "api-token-file": "/a", "access": "@b.org"}


@pytest.fixture
async def desk(
    server: CloudflareApiServer, identity: TunnelIdentity, waits: Waits
) -> AsyncIterator[Desk]:
    api = CloudflareApi(server.url, Secret(server.account.token), sleep=waits.sleep)
    desk = Desk(api, identity, CloudflareSettings.parse(OPTIONS), sleep=waits.sleep)
    yield desk
    await desk.close()


def nothing_is_left(server: CloudflareApiServer) -> bool:
    account = server.account
    return not (account.records or account.apps or account.service_tokens)


async def stopped() -> bool:
    return True


async def test_everything_is_told_before_anything_is_changed(
    desk: Desk, server: CloudflareApiServer
) -> None:
    told = [str(change) for change in await desk.look(RULES)]
    assert told == [
        f"update configuration of the tunnel: {HOSTNAME} -> http://127.0.0.1:4000",
        f"create DNS record CNAME {HOSTNAME} -> {TUNNEL}.cfargotunnel.com, proxied",
        f"create Access service token underpass {HOSTNAME}",
        f"create Access application {HOSTNAME}",
        "create Access policy for programs",
        "create Access policy for @b.org",
    ]
    assert server.changes() == []


async def test_the_way_is_led_before_access_is_put_on(
    desk: Desk, server: CloudflareApiServer
) -> None:
    await desk.route(RULES)
    assert server.account.apps == {}
    assert desk.fields() == []
    assert await desk.guard(stopped)
    assert len(server.account.apps) == 1
    assert len(desk.fields()) == 2
    await desk.close()
    assert nothing_is_left(server)


async def test_without_access_nothing_is_put_on(
    server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    api = CloudflareApi(server.url, Secret(server.account.token))
    plain = {key: text for key, text in OPTIONS.items() if key != "access"}
    desk = Desk(api, identity, CloudflareSettings.parse(plain))
    assert not await desk.guard(stopped)
    await desk.close()
    assert server.changes() == []


async def test_access_that_needs_a_moment_is_waited_for(desk: Desk, waits: Waits) -> None:
    answers = iter([None, False, True])

    async def stranger() -> bool | None:
        return next(answers)

    assert await desk.guard(stranger)
    assert waits == [2.0, 2.0]


async def test_access_that_lets_strangers_through_is_an_error(
    desk: Desk, server: CloudflareApiServer
) -> None:
    async def stranger() -> bool | None:
        return False

    with pytest.raises(AccessUnproved, match="strangers still come") as caught:
        await desk.guard(stranger)
    assert caught.value.code == "cloudflare-access-unproved"
    await desk.close()
    assert nothing_is_left(server)


async def test_what_was_half_done_is_undone(desk: Desk, server: CloudflareApiServer) -> None:
    server.account.apps["x"] = {"id": "x", "name": "theirs", "domain": HOSTNAME}
    await desk.route(RULES)
    with pytest.raises(NameTaken):
        await desk.guard(stopped)
    await desk.close()
    assert server.account.records == {}
    assert list(server.account.apps) == ["x"]


async def test_what_cannot_be_undone_is_told_and_the_rest_is(
    desk: Desk, server: CloudflareApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.route(RULES)
    await desk.guard(stopped)
    server.faults.extend([envelope(403, None, errors=[{"code": 1, "message": "no"}])])
    await desk.close()
    assert "left at Cloudflare" in caplog.text
    assert server.account.records == {}


async def test_a_tunnel_that_the_account_does_not_have_is_refused(
    server: CloudflareApiServer, waits: Waits
) -> None:
    del server.account.tunnels[TUNNEL]
    api = CloudflareApi(server.url, Secret(server.account.token), sleep=waits.sleep)
    identity = TunnelIdentity(server.account.identity, TUNNEL)
    desk = Desk(api, identity, CloudflareSettings.parse(OPTIONS))
    with pytest.raises(ApiRefused, match="Tunnel not found"):
        await desk.route(RULES)
    await desk.close()


def test_a_desk_reads_its_tokens_from_private_files(tmp_path: Path) -> None:
    token = base64.b64encode(json.dumps({"a": "acc0", "t": TUNNEL, "s": "x"}).encode())
    (tmp_path / "tunnel").write_bytes(token)
    (tmp_path / "tunnel").chmod(0o600)
    (tmp_path / "api").write_text("api-token")
    options = {**OPTIONS, "token-file": str(tmp_path / "tunnel")}
    settings = CloudflareSettings.parse({**options, "api-token-file": str(tmp_path / "api")})
    site = Site("tools", tmp_path)
    (tmp_path / "api").chmod(0o644)
    with pytest.raises(LooseMode):
        Desk.open(settings, site)
    (tmp_path / "api").chmod(0o600)
    assert Desk.open(settings, site)._identity == TunnelIdentity("acc0", TUNNEL)
    (tmp_path / "tunnel").write_bytes(b"nonsense")
    with pytest.raises(TunnelUnknown) as caught:
        Desk.open(settings, site)
    assert caught.value.code == "cloudflare-tunnel-unknown"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"x", b'{"a": "../..", "t": "y"}'])
def test_a_token_or_file_that_names_no_tunnel_is_refused(content: bytes) -> None:
    with pytest.raises(TunnelUnknown):
        from_token(base64.b64encode(content))
    with pytest.raises(TunnelUnknown):
        from_credentials(content.replace(b'"a"', b'"AccountTag"').replace(b'"t"', b'"TunnelID"'))


LOGIN = "https://team.cloudflareaccess.com/cdn-cgi/access/login/mcp.example.com"


@pytest.mark.parametrize(
    ("status", "fields", "is_stopped"),
    [
        (302, {"location": LOGIN}, True),
        (302, {"location": "https://mcp.example.com/login"}, False),
        (403, {"cf-access-domain": "mcp.example.com"}, True),
        (403, {}, False),
        (401, {"underpass-error": "gate-bearer", "cf-access-domain": "x"}, False),
        (200, {}, False),
        (530, {}, False),
    ],
)
def test_who_answers_a_stranger(status: int, fields: dict[str, str], is_stopped: bool) -> None:
    assert judge_answer(status, fields) is is_stopped


async def test_a_name_that_nobody_answers_stops_nobody() -> None:
    assert await is_stopped_outside("https://mcp.example.localhost:9") is None
