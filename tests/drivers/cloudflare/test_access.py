"""Access: put on in the right order, kept when it is there, changed where it differs, undone."""

from __future__ import annotations

import pytest
from tests.drivers.cloudflare.conftest import HOSTNAME
from tests.edges.cloudflare_api import CloudflareApiServer

from underpass.drivers.cloudflare.access import PEOPLE, PROGRAMS, AccessGuard, policies
from underpass.drivers.cloudflare.api import CloudflareApi
from underpass.drivers.cloudflare.changes import TunnelIdentity, Verb
from underpass.drivers.cloudflare.errors import ApiStrange, NameTaken

RULES = ("ann@example.com", "@example.org", "service")


@pytest.fixture
def guard(api: CloudflareApi, identity: TunnelIdentity) -> AccessGuard:
    return AccessGuard(api, identity.account, HOSTNAME, RULES)


def made(server: CloudflareApiServer) -> dict[str, dict[str, object]]:
    """The policies of the one application, by name."""
    (found,) = server.account.policies.values()
    return {str(each["name"]): each for each in found.values()}


async def test_it_is_told_before_it_is_put_on(
    guard: AccessGuard, server: CloudflareApiServer
) -> None:
    changes = await guard.look()
    assert {change.verb for change in changes} == {Verb.CREATE}
    assert any("ann@example.com, @example.org" in change.what for change in changes)
    assert server.changes() == []


async def test_an_application_has_a_policy_for_programs_and_one_for_people(
    guard: AccessGuard, server: CloudflareApiServer
) -> None:
    await guard.apply()
    (app,) = server.account.apps.values()
    (token,) = server.account.service_tokens.values()
    assert (app["domain"], app["type"]) == (HOSTNAME, "self_hosted")
    found = made(server)
    assert found[PROGRAMS]["decision"] == "non_identity"
    assert found[PROGRAMS]["include"] == [{"service_token": {"token_id": token["id"]}}]
    assert found[PEOPLE]["include"] == [
        {"email": {"email": "ann@example.com"}},
        {"email_domain": {"domain": "example.org"}},
    ]
    assert guard.fields() == [
        (b"CF-Access-Client-Id", token["client_id"].encode()),
        (b"CF-Access-Client-Secret", token["client_secret"].encode()),
    ]
    assert token["client_secret"] not in repr(guard.client)


async def test_the_token_is_there_before_the_application(
    guard: AccessGuard, server: CloudflareApiServer
) -> None:
    await guard.apply()
    kinds = [change.rpartition("/")[2] for change in server.changes()]
    assert kinds == ["service_tokens", "apps", "policies", "policies"]


async def test_it_is_taken_off_whole(guard: AccessGuard, server: CloudflareApiServer) -> None:
    await guard.apply()
    await guard.undo()
    await guard.undo()
    account = server.account
    assert (account.apps, account.policies, account.service_tokens) == ({}, {}, {})
    assert guard.fields() == []


async def test_what_a_killed_process_left_is_used_again(
    guard: AccessGuard, api: CloudflareApi, server: CloudflareApiServer, identity: TunnelIdentity
) -> None:
    await guard.apply()
    before = guard.client
    server.calls.clear()
    again = AccessGuard(api, identity.account, HOSTNAME, ("bob@example.com",))
    await again.apply()
    assert len(server.account.apps) == len(server.account.service_tokens) == 1
    assert made(server)[PEOPLE]["include"] == [{"email": {"email": "bob@example.com"}}]
    assert [change.split()[0] for change in server.changes()] == ["POST", "PUT"]
    assert again.client != before
    await again.undo()
    assert server.account.apps == {}


async def test_somebody_elses_application_is_not_taken(
    guard: AccessGuard, server: CloudflareApiServer
) -> None:
    server.account.apps["x"] = {"id": "x", "name": "theirs", "domain": HOSTNAME}
    with pytest.raises(NameTaken, match="theirs"):
        await guard.apply()
    assert server.changes() == []


async def test_the_application_is_found_behind_other_pages(
    guard: AccessGuard, server: CloudflareApiServer
) -> None:
    server.page_size = 2
    for at in range(5):
        server.account.apps[f"{at}"] = {"id": f"{at}", "name": "n", "domain": f"{at}.example"}
    await guard.apply()
    assert (await guard.look())[1].verb is Verb.KEEP


async def test_a_token_that_is_none_is_not_shown_to_anybody(
    guard: AccessGuard, server: CloudflareApiServer
) -> None:
    whole = server._make_token
    server._make_token = lambda call: (whole(call)[0], {}, BAD)  # type: ignore[method-assign]
    with pytest.raises(ApiStrange, match="names no client"):
        await guard.apply()
    assert guard.fields() == []


BAD = b'{"success": true, "errors": [], "result": {"id": "0a", "client_id": "a\\r\\nX: 1"}}'


def test_without_people_there_is_no_policy_for_them() -> None:
    assert [policy["name"] for policy in policies(("service",), "t")] == [PROGRAMS]
