"""What Cloudflare's edge answers in a tunnel's place is told with its cause and what helps."""

from __future__ import annotations

import pytest

from underpass.drivers.cloudflare.pages import read_page

pytestmark = pytest.mark.pure

RAY = {"cf-ray": "8c0ffee-AMS", "server": "cloudflare"}


@pytest.mark.parametrize(
    ("status", "fields", "body", "told"),
    [
        (530, {}, "error code: 1033", "no cloudflared is connected for (error 1033); is it this"),
        (530, RAY, "<h2>Error 1033</h2>", "no cloudflared is connected for (error 1033)"),
        (530, {}, "", "it cannot bring visitors to the tunnel (status 530)"),
        (530, RAY, "error code: 1016", "the name's record leads nowhere (error 1016)"),
        (429, {}, "error code: 1015", "it limits how often this address may ask (error 1015)"),
        (403, {}, "error code: 1020", "a firewall rule of the zone turns this request away"),
        (403, RAY, "error code: 1010", "a rule about browsers turns programs away (error 1010)"),
        (524, RAY, "", "the first byte of an answer did not come within 100 s (status 524)"),
        (524, {}, "error code: 1999", "did not come within 100 s (status 524)"),
        (502, RAY, "", "cloudflared reached nobody behind it (status 502); wait"),
        (413, RAY, "", "the body is over what the zone's plan lets through (status 413)"),
        (403, {**RAY, "cf-mitigated": "challenge"}, "", "asks for a browser (a challenge); skip"),
    ],
)
def test_each_page_has_a_cause_and_a_fix(
    status: int, fields: dict[str, str], body: str, told: str
) -> None:
    assert told in read_page(status, fields, body)


@pytest.mark.parametrize(
    ("status", "fields", "body"),
    [
        (502, {"server": "nginx"}, "<h1>502 Bad Gateway</h1>"),
        (200, RAY, "error code: 1033"),
        (404, RAY, ""),
        (404, {}, "error code: 1033x"),
    ],
)
def test_what_is_another_s_or_says_nothing_is_not_explained(
    status: int, fields: dict[str, str], body: str
) -> None:
    assert read_page(status, fields, body) == ""
