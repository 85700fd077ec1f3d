"""Documents and fields are moved exactly: the origin's own URLs, and no byte besides."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.gatehouse.mcp.addresses import OwnAddresses, public_bases
from underpass.gatehouse.mcp.documents import (
    LONGEST,
    ask_whole,
    changed_fields,
    has_already,
    is_document,
    may_change,
    move_document,
)
from underpass.gatehouse.mcp.endpoint import EndpointEvent
from underpass.gatehouse.mcp.eras import Era, era_of
from underpass.gatehouse.mcp.heads import move_fields
from underpass.gatehouse.mcp.resources import Resources
from underpass.http.messages import UNKNOWN_LENGTH, RequestHead, ResponseHead
from underpass.model.origin import parse_origin

OWN = OwnAddresses(parse_origin("mcp+http://localhost:3001/mcp"))
PUBLIC = "https://tools.example"


def move(url: str) -> str | None:
    path = OWN.path_of(url)
    return None if path is None else PUBLIC + path


# Addresses.


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3001",
        "http://localhost:3001/",
        "HTTP://LocalHost:3001/mcp",
        "http://127.0.0.1:3001/mcp?x=1",
        "http://[::1]:3001/mcp#part",
        "http://0.0.0.0:3001/mcp",
        "https://localhost:3001/mcp",
    ],
)
def test_every_name_of_the_origin_is_its_own(url: str):
    assert OWN.path_of(url) == url[url.lower().index(":3001") + 5 :]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3002/mcp",
        "http://localhost:30011/mcp",
        "http://localhost/mcp",
        "http://localhost:3001.evil.example/mcp",
        "http://localhost:3001@evil.example/mcp",
        "http://evil.example/http://localhost:3001/",
        "http://notlocalhost:3001/",
        "http://127.0.0.2:3001/",
        "ftp://localhost:3001/",
        " http://localhost:3001/",
        "localhost:3001",
        "//localhost:3001/",
        "/mcp",
        "",
        "http://localhost:3001\\evil",
    ],
)
def test_anything_else_is_not_ours_to_change(url: str):
    assert OWN.path_of(url) is None


def test_a_default_port_may_be_said_or_left_out():
    own = OwnAddresses(parse_origin("mcp+http://app.internal/mcp"))
    assert own.path_of("http://app.internal/x") == own.path_of("http://app.internal:80/x") == "/x"
    assert own.path_of("https://app.internal/x") is None
    assert own.path_of("http://localhost/x") is None


def test_the_base_is_the_address_that_the_client_dialled():
    bases = public_bases(["https://tools.example", "http://127.0.0.1:8801"], "tools")
    assert bases[b"tools.example:443"] == bases[b"tools.example"] == "https://tools.example"
    assert bases[b"localhost:8801"] == "http://localhost:8801"
    assert bases[b"tools.localhost:8801"] == "http://tools.localhost:8801"


# Documents.


@pytest.mark.parametrize(
    "target",
    [
        b"/.well-known/oauth-protected-resource",
        b"/.well-known/oauth-protected-resource/mcp?x=1",
        b"/.well-known/oauth-authorization-server/tenant/one",
        b"/tenant/.well-known/openid-configuration",
        b"/.well-known/agent-card.json",
        b"/.well-known/agent.json",
        b"/.well-known/mcp/server-card.json",
        b"/extendedAgentCard",
    ],
)
def test_well_known_documents_are_recognised(target: bytes):
    assert is_document(target)


@pytest.mark.parametrize(
    "target",
    [
        b"/mcp",
        b"/",
        b"/?next=/.well-known/agent.json",
        b"/.well-known/oauth-protected-resources",
        b"/.well-known/acme-challenge/agent.json",
        b"/agent-card.json",
    ],
)
def test_other_paths_are_not(target: bytes):
    assert not is_document(target)


def test_only_values_change_and_every_other_byte_stays():
    body = (
        b'{ "resource" : "http://localhost:3001/mcp",\n "n": 1.0e2,\t"\\u0061": "a\\"b",'
        b'"http://localhost:3001/": true, "note": "see http://localhost:3001/mcp",'
        b'"list":["http:\\/\\/127.0.0.1:3001\\/x","http://localhost:3002/"]}'
    )
    moved = move_document(body, move)
    assert moved.what == "moved"
    assert moved.body == (
        b'{ "resource" : "https://tools.example/mcp",\n "n": 1.0e2,\t"\\u0061": "a\\"b",'
        b'"http://localhost:3001/": true, "note": "see http://localhost:3001/mcp",'
        b'"list":["https://tools.example/x","http://localhost:3002/"]}'
    )


@pytest.mark.parametrize("body", [b"", b"no json http://localhost:3001/", b'{"a":', b"\xff"])
def test_what_is_no_json_stays(body: bytes):
    assert move_document(body, move).body == body


@pytest.mark.parametrize("key", ["signatures", "signed_metadata"])
def test_a_signed_document_is_left_alone_and_said_so(key: str):
    body = json.dumps({"url": "http://localhost:3001/", key: ["eyJ"]}).encode()
    assert move_document(body, move) == move_document(body, move)
    assert (move_document(body, move).body, move_document(body, move).what) == (body, "signed")
    public = json.dumps({"url": "https://tools.example/", key: ["eyJ"]}).encode()
    assert move_document(public, move).what == "same"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["http://localhost:3001/a", "http://localhost:30010/a", '"', "\\"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_any_document_changes_in_its_values_alone(document: dict[str, object], spaced: bool):
    def expected(value: object) -> object:
        if isinstance(value, dict):
            return {key: expected(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [expected(inner) for inner in value]
        return (move(value) or value) if isinstance(value, str) else value

    document.pop("signatures", None)
    document.pop("signed_metadata", None)
    body = json.dumps(document, indent=1 if spaced else None).encode()
    assert json.loads(move_document(body, move).body) == expected(document)


def test_a_document_is_asked_for_whole_and_plain():
    head = RequestHead(
        b"GET",
        b"/.well-known/agent.json",
        b"tools.example",
        [
            (b"Accept-Encoding", b"gzip"),
            (b"If-None-Match", b'"a"'),
            (b"Range", b"bytes=0-1"),
            (b"Accept", b"*/*"),
        ],
    )
    assert ask_whole(head).headers == [(b"Accept", b"*/*"), (b"Accept-Encoding", b"identity")]


@pytest.mark.parametrize(
    ("fields", "size", "expected"),
    [
        ([(b"Content-Type", b"application/json; charset=utf-8")], 10, True),
        ([(b"content-type", b"application/jwk-set+json")], UNKNOWN_LENGTH, True),
        ([(b"Content-Type", b"text/html")], 10, False),
        ([(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip")], 10, False),
        ([(b"Content-Type", b"application/json")], LONGEST + 1, False),
        ([], 10, False),
    ],
)
def test_only_plain_json_of_bounded_size_is_changed(
    fields: list[tuple[bytes, bytes]], size: int, expected: bool
):
    assert may_change(ResponseHead(200, b"OK", fields, size)) is expected
    assert not may_change(ResponseHead(404, b"Not Found", fields, size))


def test_validators_of_the_old_bytes_go():
    fields = [(b"ETag", b'"old"'), (b"Last-Modified", b"x"), (b"Content-Type", b"a/b")]
    assert changed_fields(fields, b'"new"') == [(b"Content-Type", b"a/b"), (b"ETag", b'"new"')]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(b'"x", W/"a"', True), (b'"a"', True), (b"*", True), (b'"b"', False), (None, False)],
)
def test_a_visitor_that_has_the_document_is_told_so(asked: bytes | None, expected: bool):
    fields = [] if asked is None else [(b"If-None-Match", asked)]
    head = RequestHead(b"GET", b"/.well-known/agent.json", b"h", fields)
    assert has_already(head, b'W/"a"') is expected
    assert not has_already(head, None)


# Fields.


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"Location", b"http://localhost:3001/mcp/", b"https://tools.example/mcp/"),
        (b"Location", b"/mcp/", b"/mcp/"),
        (b"Location", b"https://idp.example/?r=http://localhost:3001/", None),
        (b"Location", b"http://localhost:3001/callback?code=1&state=2", None),
        (
            b"Location",
            b"http://localhost:3001/callback?code=1&iss=http%3A%2F%2Flocalhost%3A3001",
            b"http://localhost:3001/callback?code=1&iss=https%3A%2F%2Ftools.example",
        ),
        (b"Location", b"http://client/?code=1&iss=http%3A%2F%2Fother", None),
        (
            b"WWW-Authenticate",
            b'Bearer error="x", resource_metadata="http://127.0.0.1:3001/.well-known/p"',
            b'Bearer error="x", resource_metadata="https://tools.example/.well-known/p"',
        ),
        (
            b"WWW-Authenticate",
            b'Bearer realm="http://localhost:3001/a", scope="http://localhost:3002/a"',
            b'Bearer realm="https://tools.example/a", scope="http://localhost:3002/a"',
        ),
        (
            b"Link",
            b'<http://localhost:3001/a>; rel="next", <http://other/>; rel="x"',
            b'<https://tools.example/a>; rel="next", <http://other/>; rel="x"',
        ),
        (b"Access-Control-Allow-Origin", b"http://localhost:3001", b"https://page.example"),
        (b"Access-Control-Allow-Origin", b"*", b"*"),
        (b"X-Own", b"http://localhost:3001/", None),
    ],
)
def test_fields_that_name_the_origin_are_moved(name: bytes, value: bytes, expected: bytes | None):
    moved = move_fields([(name, value)], move, b"http://localhost:3001", b"https://page.example")
    assert moved == [(name, value if expected is None else expected)]


# Resources.


def learned() -> Resources:
    resources = Resources(OWN)
    resources.learn({"resource": "http://localhost:3001/mcp"})
    resources.learn({"authorization_endpoint": "http://127.0.0.1:3001/authorize"})
    return resources


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            b"/authorize?state=1&resource=https%3A%2F%2Ftools.example%2Fmcp&x=%20",
            b"/authorize?state=1&resource=http%3A%2F%2Flocalhost%3A3001%2Fmcp&x=%20",
        ),
        (
            b"/authorize?resource=https://tools.example/mcp/",
            b"/authorize?resource=http%3A%2F%2Flocalhost%3A3001%2Fmcp",
        ),
        (b"/authorize?resource=https%3A%2F%2Ftools.example%2Fother", None),
        (b"/authorize?resource=https%3A%2F%2Ftools.example.evil%2Fmcp", None),
        (b"/authorize?xresource=https%3A%2F%2Ftools.example%2Fmcp", None),
        (b"/authorize", None),
        (b"/mcp?resource=https%3A%2F%2Ftools.example%2Fmcp", None),
    ],
)
def test_an_authorization_names_the_resource_as_the_server_does(
    target: bytes, expected: bytes | None
):
    assert learned().inward(target, PUBLIC) == (target if expected is None else expected)
    assert Resources(OWN).inward(target, PUBLIC) == target, "what it never said is not its own"


# The oldest transport's first event.

ENDPOINT = b"event: endpoint\r\ndata: http://localhost:3001/messages/?session_id=1\r\n\r\n"
MOVED = b"event: endpoint\r\ndata: https://tools.example/messages/?session_id=1\r\n\r\n"


@pytest.mark.parametrize("cut", range(1, len(ENDPOINT)))
def test_the_endpoint_is_moved_wherever_it_is_cut(cut: int):
    event = EndpointEvent(move)
    out = event.receive_data(ENDPOINT[:cut]) + event.receive_data(ENDPOINT[cut:] + b"event: m")
    assert out + event.take_rest() == MOVED + b"event: m"
    assert event.is_over


@pytest.mark.parametrize(
    "data",
    [
        b"event: endpoint\ndata: /messages?s=1\n\n",
        b"event: message\ndata: {}\n\n",
        b": comment\n\n" + ENDPOINT,
        b"id: 1\nevent: endpoint\ndata: x\n\n",
        b"data: http://localhost:3001/\n\n",
    ],
)
def test_every_other_beginning_passes_at_once(data: bytes):
    event = EndpointEvent(move)
    assert event.receive_data(data) == data


def test_an_endless_first_event_is_not_held():
    event = EndpointEvent(move)
    endless = b"event: endpoint\ndata: " + b"x" * 5000
    assert event.receive_data(endless) == endless
    assert event.is_over


# Eras.


@pytest.mark.parametrize(
    ("method", "fields", "era"),
    [
        (b"GET", {b"Accept": b"text/event-stream"}, Era.EVENTS),
        (b"POST", {b"Content-Type": b"application/json"}, Era.SESSIONS),
        (
            b"GET",
            {b"Accept": b"text/event-stream", b"Mcp-Session-Id": b"1"},
            Era.SESSIONS,
        ),
        (b"POST", {b"MCP-Protocol-Version": b"2025-11-25"}, Era.SESSIONS),
        (b"POST", {b"mcp-protocol-version": b"2026-07-28"}, Era.STATELESS),
        (b"POST", {b"mcp-protocol-version": b"2027-01-01"}, Era.STATELESS),
        (b"GET", {b"Accept": b"text/html"}, None),
    ],
)
def test_an_era_is_told_by_the_head(method: bytes, fields: dict[bytes, bytes], era: Era | None):
    assert era_of(RequestHead(method, b"/mcp", b"h", list(fields.items()))) is era
