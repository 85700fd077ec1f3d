"""Pages that ``--cors`` names can call; preflights of others are nobody's here."""

from __future__ import annotations

import pytest

from underpass.http.cors import Cors
from underpass.http.messages import Headers, RequestHead, lookup
from underpass.http.writer import response_bytes

PAGE = b"https://app.test"


def preflight(*extra: tuple[bytes, bytes], origin: bytes = PAGE) -> RequestHead:
    headers: Headers = [(b"Origin", origin), (b"Access-Control-Request-Method", b"POST"), *extra]
    return RequestHead(b"OPTIONS", b"/mcp", b"a.test", headers)


def test_preflight_of_a_named_page_is_answered_whole() -> None:
    head = preflight(
        (b"Access-Control-Request-Headers", b"authorization, mcp-session-id"),
        (b"Access-Control-Request-Private-Network", b"true"),
    )
    answer = Cors(("https://app.test/",)).preflight(head)
    assert answer is not None
    assert response_bytes(answer, method=b"OPTIONS").split(b"\r\n")[:-2] == [
        b"HTTP/1.1 204 No Content",
        b"Access-Control-Allow-Origin: https://app.test",
        b"Access-Control-Allow-Methods: POST",
        b"Access-Control-Max-Age: 600",
        b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        b"Access-Control-Allow-Headers: authorization, mcp-session-id",
        b"Access-Control-Allow-Private-Network: true",
    ]


@pytest.mark.parametrize(
    "origin",
    [b"https://evil.test", b"http://app.test", b"https://app.test.evil.test", b"null", b"", b"*"],
)
def test_other_pages_get_nothing(origin: bytes) -> None:
    cors = Cors(("https://app.test",))
    assert cors.preflight(preflight(origin=origin)) is None
    head = RequestHead(b"GET", b"/", b"a", [(b"Origin", origin)])
    headers: Headers = [(b"X", b"y")]
    assert cors.answer_headers(head, headers) is headers


def test_plain_options_is_no_preflight() -> None:
    head = RequestHead(b"OPTIONS", b"/", b"a", [(b"Origin", PAGE)])
    assert Cors(("*",)).preflight(head) is None
    assert Cors(("*",)).preflight(RequestHead(b"GET", b"/", b"a", preflight().headers)) is None


def test_preflight_that_names_no_names_is_not_answered() -> None:
    head = RequestHead(
        b"OPTIONS",
        b"/",
        b"a",
        [(b"Origin", PAGE), (b"Access-Control-Request-Method", b"P OST")],
    )
    assert Cors(("*",)).preflight(head) is None


def test_answers_to_a_named_page_can_be_read_by_it() -> None:
    head = RequestHead(b"GET", b"/", b"a", [(b"Origin", PAGE)])
    headers = Cors(("*",)).answer_headers(
        head,
        [(b"X", b"y"), (b"Access-Control-Allow-Origin", b"*"), (b"Vary", b"Accept")],
    )
    assert headers[:2] == [(b"X", b"y"), (b"Vary", b"Accept")]
    assert [value for name, value in headers if name == b"Access-Control-Allow-Origin"] == [PAGE]
    assert b"Mcp-Session-Id" in (lookup(headers, b"access-control-expose-headers") or b"")
    assert lookup(headers, b"access-control-allow-credentials") is None
    assert (b"Vary", b"Origin") in headers
