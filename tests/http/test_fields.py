"""No visitor's claim about itself survives, however it is spelt; what we know is stamped on."""

from __future__ import annotations

from itertools import product

import pytest

from underpass.http.fields import stamp, strip_claims
from underpass.http.messages import RequestHead
from underpass.http.reader import RequestReader
from underpass.http.writer import request_bytes

CLAIMS = [
    b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Host",
    b"X-Forwarded-Port",
    b"X-Forwarded-User",
    b"X-Forwarded-Anything-New",
    b"X-Forwarded",
    b"Forwarded",
    b"X-Real-IP",
    b"X-Client-IP",
    b"True-Client-IP",
    b"CF-Connecting-IP",
    b"X-Original-URL",
    b"X-Rewrite-URL",
    b"Remote-User",
    b"Tailscale-User-Login",
    b"Tailscale-App-Capabilities",
    b"Tailscale-Funnel-Request",
    b"Underpass-Instance",
    b"Underpass-Error",
    b"Script-Name",
    b"X-Script-Name",
    b"Path-Info",
    b"X-Scheme",
    b"Front-End-Https",
    b"X-Sendfile-Type",
    b"X-Accel-Mapping",
    b"X-WebAuth-User",
    b"X-Remote-Group",
    b"X-Authenticated-User",
    b"X-Auth-Request-Email",
    b"X-Authentik-Username",
    b"X-Envoy-Original-Path",
    b"X-SSL-Client-Verify",
    b"SSL-Client-S-DN",
    b"X-Client-Cert",
    b"X-MS-Client-Principal-Name",
    b"X-Goog-Authenticated-User-Email",
    b"Cf-Access-Authenticated-User-Email",
    b"Remote-Groups",
]


@pytest.mark.parametrize("name", CLAIMS)
def test_claim_is_stripped_in_every_spelling(name: bytes) -> None:
    for case, dash in product(
        (bytes.lower, bytes.upper, bytes.title, bytes.swapcase), (b"-", b"_")
    ):
        spelt = case(name).replace(b"-", dash)
        assert strip_claims([(b"A", b"1"), (spelt, b"127.0.0.1"), (b"B", b"2")]) == [
            (b"A", b"1"),
            (b"B", b"2"),
        ]


def test_other_fields_and_credentials_are_left_alone() -> None:
    headers = [
        (b"Authorization", b"Bearer x"),
        (b"Underpass-Token", b"up_x"),
        (b"Underpass-Proof", b"v1.x"),
        (b"X-Request-ID", b"1"),
        (b"Origin", b"https://app.test"),
        (b"Mcp-Session-Id", b"1"),
        (b"Tailscale-Webhook-Signature", b"t=1,v1=x"),
        (b"X-Auth-Token", b"x"),
        (b"X-Accel-Buffering", b"no"),
        (b"Cf-Access-Jwt-Assertion", b"x.y.z"),
    ]
    assert strip_claims(headers) == headers


@pytest.mark.parametrize(
    ("address", "secure", "expected"),
    [
        (
            "192.0.2.1",
            True,
            [
                (b"X-Forwarded-For", b"192.0.2.1"),
                (b"X-Forwarded-Proto", b"https"),
                (b"X-Forwarded-Host", b"a.test:8443"),
                (b"Forwarded", b'for=192.0.2.1;host="a.test:8443";proto=https'),
            ],
        ),
        (
            "2001:db8::1",
            False,
            [
                (b"X-Forwarded-For", b"2001:db8::1"),
                (b"X-Forwarded-Proto", b"http"),
                (b"X-Forwarded-Host", b"a.test:8443"),
                (b"Forwarded", b'for="[2001:db8::1]";host="a.test:8443";proto=http'),
            ],
        ),
        (
            "",
            False,
            [
                (b"X-Forwarded-Proto", b"http"),
                (b"X-Forwarded-Host", b"a.test:8443"),
                (b"Forwarded", b'for=unknown;host="a.test:8443";proto=http'),
            ],
        ),
    ],
)
def test_stamp_says_what_we_know(
    address: str, secure: bool, expected: list[tuple[bytes, bytes]]
) -> None:
    assert stamp(address, secure=secure, host=b"a.test:8443") == expected


def test_stamps_do_not_share_their_list() -> None:
    first = stamp("192.0.2.1", secure=True, host=b"a")
    first.clear()
    assert stamp("192.0.2.1", secure=True, host=b"a")


def test_origin_sees_our_word_once() -> None:
    [head, _] = RequestReader().receive_data(
        b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 127.0.0.1\r\nforwarded: for=::1\r\n"
        b"X-FORWARDED-FOR: 10.0.0.1\r\n\r\n"
    )
    assert isinstance(head, RequestHead)
    clean = RequestHead(head.method, head.target, head.host, strip_claims(head.headers))
    raw = request_bytes(clean, extra=stamp("192.0.2.1", secure=True, host=head.host))
    assert raw.lower().count(b"x-forwarded-for") == 1
    assert b"127.0.0.1" not in raw
    assert b"::1" not in raw
