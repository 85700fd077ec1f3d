"""The id of a JSON-RPC request is found as its body passes, in whatever pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.http.jsonrpc import LOOK_AT_MOST, IdScanner, carries_jsonrpc
from underpass.http.messages import RequestHead


def scan(body: bytes, size: int = 1 << 20) -> bytes:
    scanner = IdScanner()
    for at in range(0, len(body), size):
        scanner.receive_data(memoryview(body)[at : at + size])
    return scanner.id


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"x"}', b"1"),
        (b'{"id":"a","method":"x"}', b'"a"'),
        (b'{"method":"x","params":{"id":5},"id":-7}', b"-7"),
        (b'{"params":[{"id":1},["id",2]],"id" : 3 }', b"3"),
        (b'\r\n\t {\n  "id" :\t"a b" ,"x":1}', b'"a b"'),
        (b'{"id":1.5}', b"1.5"),
        (b'{"id":null,"method":"x"}', b"null"),
        (b'{"method":"notifications/x"}', b"null"),
        (b'{"method":"id","x":"id"}', b"null"),
        (b'{"params":"\\"id\\":9,","id":4}', b"4"),
        (b'{"params":"\\\\","id":4}', b"4"),
        (b'{"\\u0069d":6}', b"6"),
        (b'{"id":"\\u00e9\\""}', b'"\\u00e9\\""'),
        (b'{"id":"\xc3\xa9"}', b'"\xc3\xa9"'),
        (b'{"id":1,"id":2}', b"2"),
        (b'{"id":1,"id":{}}', b"null"),
        (b'{"ID":1}', b"null"),
        (b'{"id":true}', b"null"),
        (b'{"id":[1]}', b"null"),
        (b'{"id":{"id":1}}', b"null"),
        (b'{"id":01}', b"null"),
        (b'{"id":x}', b"null"),
        (b'{"id":"\xff"}', b"null"),
        (b'{"id":"a\nb"}', b"null"),
        (b'{"id":"' + b"a" * 1000 + b'"}', b"null"),
        (b'[{"id":1},{"id":2}]', b"null"),
        (b"[]", b"null"),
        (b"", b"null"),
        (b"7", b"null"),
        (b'"id"', b"null"),
        (b'x{"id":1}', b"null"),
        (b'}{"id":1}', b"null"),
        (b',{"id":1}', b"null"),
        (b'{"id":1}{"id":2}', b"1"),
        (b'{"id":12', b"null"),
        (b'{"params":"' + b"x" * 30_000 + b'","id":8}', b"8"),
        (b'{"params":"' + b"x" * LOOK_AT_MOST + b'","id":8}', b"null"),
        (b'{"id":9,"params":"' + b"x" * LOOK_AT_MOST + b'"}', b"9"),
        (b" " * 1000 + b'{"id":10}', b"10"),
    ],
)
def test_id_is_found_in_whatever_pieces(body: bytes, expected: bytes) -> None:
    assert scan(body) == expected
    assert scan(body, 1) == expected
    if len(body) < 1000:
        for size in range(2, len(body)):
            assert scan(body, size) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.just("id"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    message=st.dictionaries(st.text(max_size=5), json_values, max_size=5),
    id=st.integers() | st.text(max_size=20),
    ascii=st.booleans(),
    size=st.integers(1, 50),
)
def test_id_agrees_with_a_whole_parse(
    message: dict[str, object], id: int | str, ascii: bool, size: int
) -> None:
    body = json.dumps({**message, "id": id}, ensure_ascii=ascii).encode("utf-8", "replace")
    assert json.loads(scan(body, size)) == json.loads(body)["id"]


@given(body=st.binary(max_size=200) | st.text('{}[]":,\\id01 ', max_size=60).map(str.encode))
def test_junk_gives_valid_json_or_null(body: bytes) -> None:
    found = json.loads(scan(body))
    assert found is None or isinstance(found, (str, int, float))
    assert scan(body, 1) == scan(body)


def test_scanner_stops_looking_after_its_share() -> None:
    scanner = IdScanner()
    scanner.receive_data(b'{"x":"' + b"y" * LOOK_AT_MOST)
    assert scanner.done


@pytest.mark.parametrize(
    ("method", "kind", "expected"),
    [
        (b"POST", b"application/json", True),
        (b"POST", b"Application/JSON; charset=utf-8", True),
        (b"POST", b"application/vnd.api+json", True),
        (b"POST", b"text/plain", False),
        (b"GET", b"application/json", False),
    ],
)
def test_only_posts_of_json_carry_jsonrpc(method: bytes, kind: bytes, expected: bool) -> None:
    head = RequestHead(method, b"/", b"a", [(b"Content-Type", kind)])
    assert carries_jsonrpc(head) is expected
    assert not carries_jsonrpc(RequestHead(b"POST", b"/", b"a", []))
