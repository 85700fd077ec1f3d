"""One call, and all pages: against a server that refuses what the real one would."""

from __future__ import annotations

import json

import pytest
from tests.drivers.cloudflare.conftest import Waits
from tests.edges.cloudflare_api import CloudflareApiServer, envelope

from underpass import __version__
from underpass.drivers.cloudflare.api import CloudflareApi, read_envelope
from underpass.drivers.cloudflare.errors import (
    ApiAway,
    ApiLimited,
    ApiRefused,
    ApiStrange,
    ApiTokenRefused,
)
from underpass.guard.secrets import Secret
from underpass.model.errors import UnderpassError

BUSY = (429, {"Retry-After": "2"}, b"{}")
BROKEN = (502, {}, b"<html>bad gateway</html>")


async def test_a_call_shows_the_token_and_who_calls(
    api: CloudflareApi, server: CloudflareApiServer
) -> None:
    assert await api.pages("look", "/zones") != []
    (call,) = server.calls
    assert call.fields["authorization"] == f"Bearer {server.account.token}"
    assert call.fields["user-agent"] == f"underpass/{__version__}"
    assert server.account.token not in repr(api)


async def test_every_page_of_a_list_is_read(
    api: CloudflareApi, server: CloudflareApiServer
) -> None:
    server.page_size = 3
    names = {"example.com", *(f"z{at}.example" for at in range(9))}
    for name in names - {"example.com"}:
        server.zone(name)
    assert {zone["name"] for zone in await api.pages("look", "/zones")} == names
    assert [call.query["page"] for call in server.calls] == ["1", "2", "3", "4"]


async def test_a_list_without_end_is_not_read_for_ever(
    api: CloudflareApi, server: CloudflareApiServer
) -> None:
    info = {"total_pages": 10**9}
    server.faults.extend(envelope(200, [{"id": "x"}], info=info) for _ in range(100))
    with pytest.raises(ApiStrange, match="pages"):
        await api.pages("look", "/zones")
    assert len(server.calls) == 40


async def test_a_token_that_is_unknown_is_told_as_such(server: CloudflareApiServer) -> None:
    async with CloudflareApi(server.url, Secret("another")) as api:
        with pytest.raises(ApiTokenRefused, match="Authentication error") as caught:
            await api.pages("look at zones", "/zones")
    assert caught.value.code == "cloudflare-token-refused"
    assert "DNS:Edit" in str(caught.value.hint)


async def test_a_refusal_is_told_in_the_apis_words(api: CloudflareApi) -> None:
    with pytest.raises(ApiRefused, match=r"not allowed .*\(10405\)") as caught:
        await api.call("drop a zone", "DELETE", "/zones")
    assert caught.value.code == "cloudflare-api-refused"


async def test_a_short_wait_that_is_asked_for_is_kept(
    api: CloudflareApi, server: CloudflareApiServer, waits: Waits
) -> None:
    server.faults.extend([BUSY, BUSY])
    assert len(await api.pages("look", "/zones")) == 1
    assert waits == [2.0, 2.0]


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [([BUSY] * 3, 2.0), ([(429, {"Retry-After": "300"}, b"{}")], 300.0), ([(429, {}, b"")], 60.0)],
)
async def test_a_long_wait_is_told_and_not_waited_for(
    api: CloudflareApi,
    server: CloudflareApiServer,
    faults: list[tuple[int, dict[str, str], bytes]],
    seconds: float,
) -> None:
    server.faults.extend(faults)
    with pytest.raises(ApiLimited) as caught:
        await api.pages("look", "/zones")
    assert (caught.value.code, caught.value.seconds) == ("cloudflare-api-limited", seconds)
    assert caught.value.retryable


async def test_a_fault_of_the_api_is_asked_again_where_that_is_safe(
    api: CloudflareApi, server: CloudflareApiServer
) -> None:
    server.faults.append(BROKEN)
    assert len(await api.pages("look", "/zones")) == 1
    server.faults.append(BROKEN)
    with pytest.raises(ApiAway) as caught:
        await api.call("make", "POST", "/zones", {})
    assert caught.value.code == "cloudflare-api-away"
    assert len([call for call in server.calls if call.method == "POST"]) == 1


async def test_an_api_that_is_not_there_is_told_as_such(waits: Waits) -> None:
    async with CloudflareApi("http://127.0.0.1:9", Secret("x"), sleep=waits.sleep) as api:
        with pytest.raises(ApiAway, match="does not answer"):
            await api.pages("look", "/zones")
    assert len(waits) == 2


async def test_the_token_follows_no_redirect(
    api: CloudflareApi, server: CloudflareApiServer
) -> None:
    server.faults.append((302, {"Location": f"{server.url}/zones"}, b""))
    with pytest.raises(ApiStrange):
        await api.call("look", "GET", "/zones")
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (200, b"<html>", ApiStrange),
        (200, b"[]", ApiStrange),
        (200, b'{"success": false, "errors": []}', ApiRefused),
        (200, b'{"success": 1}', ApiRefused),
        (200, b'{"errors": "no", "success": false}', ApiRefused),
        (400, b'{"success": false, "errors": [{"code": 9109, "message": "no"}]}', ApiTokenRefused),
        (401, b'{"success": false, "errors": [{"code": 1, "message": "no"}]}', ApiTokenRefused),
        (404, b"null", ApiStrange),
        (503, b"", ApiAway),
        (200, b"x" * ((8 << 20) + 1), ApiStrange),
        (400, b'{"success": false, "errors": [{"code": [], "message": {}}, 3]}', ApiRefused),
    ],
)
def test_answers_that_do_not_say_yes(
    status: int, content: bytes, kind: type[UnderpassError]
) -> None:
    with pytest.raises(kind) as caught:
        read_envelope("look", status, content)
    assert caught.value.message.isprintable()


def test_what_the_api_says_cannot_break_a_terminal() -> None:
    told = {"success": False, "errors": [{"code": 1, "message": "\x1b[2J\r\n" + "x" * 1_000}]}
    with pytest.raises(ApiRefused) as caught:
        read_envelope("look", 400, json.dumps(told).encode())
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
