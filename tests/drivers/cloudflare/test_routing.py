"""The name's way: made where it is not, kept where it is, taken from nobody, undone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.drivers.cloudflare.conftest import HOSTNAME, TUNNEL
from tests.edges.cloudflare_api import CloudflareApiServer

from underpass.drivers.cloudflare.api import CloudflareApi
from underpass.drivers.cloudflare.changes import Change, TunnelIdentity, Verb
from underpass.drivers.cloudflare.errors import ApiRefused, ApiStrange, NameTaken
from underpass.drivers.cloudflare.routing import DnsRoute, RemoteConfiguration, id_of

TARGET = f"{TUNNEL}.cfargotunnel.com"
RULES = [{"hostname": HOSTNAME, "service": "http://127.0.0.1:4000"}, {"service": "http_status:503"}]


def add_record(server: CloudflareApiServer, **fields: Any) -> str:
    identity = f"{len(server.account.records):032x}"
    record = {"id": identity, "type": "CNAME", "name": HOSTNAME, "content": TARGET}
    server.account.records[identity] = {**record, "proxied": True, **fields}
    return identity


async def test_a_record_is_told_made_and_undone(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    route = DnsRoute(api, identity, HOSTNAME)
    what = f"DNS record CNAME {HOSTNAME} -> {TARGET}, proxied"
    assert await route.look() == (Change(Verb.CREATE, what),)
    assert server.changes() == []
    await route.apply()
    (record,) = server.account.records.values()
    assert (record["type"], record["content"], record["proxied"]) == ("CNAME", TARGET, True)
    assert str((await route.look())[0]) == f"keep {what}"
    await route.undo()
    await route.undo()
    assert server.account.records == {}


async def test_a_record_that_is_there_is_kept_and_left(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    add_record(server)
    route = DnsRoute(api, identity, HOSTNAME)
    await route.apply()
    await route.undo()
    assert server.changes() == []


async def test_a_record_that_a_killed_process_left_is_known_again(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    await DnsRoute(api, identity, HOSTNAME).apply()
    next_one = DnsRoute(api, identity, HOSTNAME)
    await next_one.apply()
    await next_one.undo()
    assert server.account.records == {}
    assert [change.split()[0] for change in server.changes()] == ["POST", "DELETE"]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "A", "content": "192.0.2.1"},
        {"content": "other.cfargotunnel.com"},
        {"proxied": False},
    ],
)
async def test_a_name_that_leads_elsewhere_is_not_taken(
    api: CloudflareApi,
    server: CloudflareApiServer,
    identity: TunnelIdentity,
    fields: dict[str, Any],
) -> None:
    add_record(server, **fields)
    route = DnsRoute(api, identity, HOSTNAME)
    with pytest.raises(NameTaken, match="a record") as caught:
        await route.apply()
    assert caught.value.code == "cloudflare-name-taken"
    assert server.changes() == []


async def test_records_that_lead_nowhere_are_no_hindrance(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    add_record(server, type="TXT", content="hello")
    assert (await DnsRoute(api, identity, HOSTNAME).look())[0].verb is Verb.CREATE


async def test_the_zone_is_the_longest_end_of_the_name(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    nearer = server.zone("tools.example.com")
    route = DnsRoute(api, identity, HOSTNAME)
    await route.apply()
    assert server.changes() == [f"POST /zones/{nearer}/dns_records"]


async def test_a_zone_that_the_token_does_not_reach_is_told_as_such(
    api: CloudflareApi, identity: TunnelIdentity
) -> None:
    with pytest.raises(ApiRefused, match=r"mcp\.example\.net"):
        await DnsRoute(api, identity, "mcp.example.net").look()


async def test_a_record_that_somebody_removed_is_undone_already(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    route = DnsRoute(api, identity, HOSTNAME)
    await route.apply()
    server.account.records.clear()
    await route.undo()


async def test_a_configuration_at_cloudflare_is_set_and_closed(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    former = {"ingress": [{"service": "http://127.0.0.1:3001"}], "warp-routing": {"enabled": True}}
    server.account.configurations[TUNNEL] = former
    step = RemoteConfiguration(api, identity, HOSTNAME, RULES)
    (change,) = await step.look()
    assert (change.verb, server.changes()) == (Verb.UPDATE, [])
    await step.apply()
    assert server.account.configurations[TUNNEL] == {**former, "ingress": RULES}
    assert (await step.look())[0].verb is Verb.KEEP
    await step.undo()
    closed = [{"service": "http_status:503"}]
    assert server.account.configurations[TUNNEL] == {**former, "ingress": closed}


async def test_a_configuration_of_its_own_is_left_alone(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    server.account.tunnels[TUNNEL]["config_src"] = "local"
    step = RemoteConfiguration(api, identity, HOSTNAME, RULES)
    assert await step.look() == ()
    await step.apply()
    await step.undo()
    assert server.changes() == []


async def test_a_tunnel_that_serves_other_names_is_not_taken(
    api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    other = {"hostname": "www.example.com", "service": "http://127.0.0.1:80"}
    server.account.configurations[TUNNEL] = {"ingress": [other, *RULES]}
    with pytest.raises(NameTaken, match=r"www\.example\.com"):
        await RemoteConfiguration(api, identity, HOSTNAME, RULES).apply()
    assert server.changes() == []


@pytest.mark.parametrize("thing", [None, {}, {"id": 3}, {"id": "../x"}, {"id": ""}])
def test_an_id_that_could_lead_elsewhere_is_none(thing: object) -> None:
    with pytest.raises(ApiStrange) as caught:
        id_of(thing, "look")
    assert caught.value.code == "cloudflare-api-strange"
