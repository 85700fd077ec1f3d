"""What visitors are told when we answer ourselves."""

from __future__ import annotations

import json

import pytest

from underpass.http.answers import (
    NULL_ID,
    TABLE,
    Answer,
    answer,
    answer_malformed,
    render,
)
from underpass.http.messages import Malformed, lookup
from underpass.http.writer import response_bytes


def test_answers_for_absences_are_never_read_as_a_lost_session() -> None:
    for code in ("no-such-tunnel", "connector-away", "lane-lost", "origin-away", "relay-draining"):
        row = answer(code)
        assert row.status == 503
        assert row.retry_after is not None
    assert not {row.status for row in TABLE.values()} & {404, 405}
    assert {row.code for row in TABLE.values() if row.status == 400 and not row.closes} == set()


@pytest.mark.parametrize("code", TABLE)
def test_every_answer_can_be_written_and_names_its_code(code: str) -> None:
    for jsonrpc_id in (b"", b"7", b'"a"', NULL_ID):
        head, body = render(answer(code), jsonrpc_id=jsonrpc_id)
        raw = response_bytes(head, method=b"POST")
        assert b"\r\nUnderpass-Error: %b\r\n" % code.encode() in raw
        assert b"\r\nContent-Length: %d\r\n" % len(body) in raw
        assert head.reason != b"Error"


def test_plain_answer_is_a_sentence() -> None:
    head, body = render(answer("connector-away"))
    assert (head.status, head.reason) == (503, b"Service Unavailable")
    assert head.headers == [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Cache-Control", b"no-store"),
        (b"Underpass-Error", b"connector-away"),
        (b"Retry-After", b"5"),
    ]
    assert body == b"the tunnel's owner is not connected\n"


def test_jsonrpc_request_gets_an_error_with_its_own_id() -> None:
    head, body = render(answer("origin-away"), jsonrpc_id=b'"call-7"')
    assert lookup(head.headers, b"content-type") == b"application/json"
    assert json.loads(body) == {
        "jsonrpc": "2.0",
        "id": "call-7",
        "error": {
            "code": -32000,
            "message": "the service behind the tunnel does not answer",
            "data": {"code": "origin-away", "retryable": True},
        },
    }


@pytest.mark.parametrize("code", ["gate-unauthenticated", "gate-refused"])
def test_strangers_are_not_told_their_id(code: str) -> None:
    _, body = render(answer(code), jsonrpc_id=b"7")
    assert json.loads(body)["id"] is None


def test_challenge_of_a_gate_is_added() -> None:
    head, _ = render(answer("gate-unauthenticated"), extra=[(b"WWW-Authenticate", b"Bearer")])
    assert lookup(head.headers, b"www-authenticate") == b"Bearer"


def test_code_of_a_newer_peer_becomes_a_plain_503() -> None:
    assert answer("from-the-future\r\nX: y") == Answer(
        503, "unavailable", "the tunnel cannot answer now", 1
    )


def test_refusals_of_the_reader_close_the_connection() -> None:
    assert answer_malformed(Malformed(431, "head-too-large", "x")).closes
    other = answer_malformed(Malformed(400, "something-new", "x"))
    assert (other.status, other.code, other.closes) == (400, "something-new", True)
