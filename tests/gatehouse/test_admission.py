"""Who may reach the origin, as what, and what the others are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from tests.gatehouse.conftest import RecordingVisitor, raw_origin, request

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer
from underpass.guard.gates import BearerGate, Guard, IpGate, LinkGate
from underpass.guard.secrets import hash_token

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000, secure=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BEARER = Guard([BearerGate(hash_token("up_right"))])


class Listener:
    """An origin that answers ok and keeps the heads it saw."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0

    def lines(self) -> list[bytes]:
        """The lines of the only head."""
        (head,) = self.heads
        return head.split(b"\r\n")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            made.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)

    async with raw_origin(keep) as origin:
        made.port = origin.port
        yield made


async def ask(gatehouse: Gatehouse, head, *, body: bytes = b"", peer: Peer = PEER):
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, head, peer)
    if body:
        exchange.data_received(body)
        exchange.end_received()
    await visitor.answer()
    return visitor


async def test_gate_refuses_before_the_origin_hears_anything(
    make_gatehouse: Make, listener: Listener
):
    gatehouse = make_gatehouse(f"{listener.port}", guard=BEARER)
    visitor = await ask(gatehouse, request())
    assert visitor.head.status == 401
    assert visitor.field(b"WWW-Authenticate") == b'Bearer realm="underpass"'
    assert visitor.field(b"Underpass-Error") == b"gate-unauthenticated"
    assert b"resource_metadata" not in repr(visitor.head).encode()
    assert listener.heads == []
    assert gatehouse.statistics().denied == 1


async def test_credential_that_passed_stays_here_and_others_go_on(
    make_gatehouse: Make, listener: Listener
):
    gatehouse = make_gatehouse(f"{listener.port}", guard=BEARER)
    fields = [(b"Authorization", b"Basic for-the-origin"), (b"Underpass-Token", b"up_right")]
    visitor = await ask(gatehouse, request(headers=fields))
    assert visitor.head.status == 200
    assert b"Authorization: Basic for-the-origin" in listener.lines()
    assert not any(line.lower().startswith(b"underpass") for line in listener.lines())


async def test_link_prefix_is_taken_off_and_answers_hide_the_referrer(
    make_gatehouse: Make, listener: Listener
):
    guard = Guard([LinkGate(hash_token("up_secret"))])
    gatehouse = make_gatehouse(f"http://127.0.0.1:{listener.port}/base", guard=guard)
    visitor = await ask(gatehouse, request(target=b"/up_secret/page?q=1"))
    assert visitor.head.status == 200
    assert visitor.field(b"Referrer-Policy") == b"no-referrer"
    assert listener.lines()[0] == b"GET /base/page?q=1 HTTP/1.1"
    refused = await ask(gatehouse, request(target=b"/up_wrong/page"))
    assert refused.head.status == 403
    assert refused.field(b"Referrer-Policy") == b"no-referrer"


async def test_address_is_the_edges_word_and_nobody_elses(make_gatehouse: Make, listener: Listener):
    gatehouse = make_gatehouse(f"{listener.port}", guard=Guard([IpGate(["10.0.0.0/8"])]))
    spoofed = request(headers=[(b"X-Forwarded-For", b"10.0.0.1"), (b"X-Real-IP", b"10.0.0.1")])
    assert (await ask(gatehouse, spoofed)).head.status == 403
    assert (await ask(gatehouse, spoofed, peer=Peer(""))).head.status == 403
    assert (await ask(gatehouse, request(), peer=Peer("10.1.2.3"))).head.status == 200


@pytest.mark.parametrize(
    "target",
    [b"/../secret", b"/a/..", b"/%2e%2E/secret", b"/.%2e/x", b"/a/./b", b"/..%2fsecret"],
)
async def test_target_cannot_climb_out_of_the_base_path(
    make_gatehouse: Make, listener: Listener, target: bytes
):
    gatehouse = make_gatehouse(f"http://127.0.0.1:{listener.port}/base")
    visitor = await ask(gatehouse, request(target=target))
    assert (visitor.head.status, visitor.field(b"Underpass-Error")) == (
        400,
        b"target-outside-base",
    )
    assert listener.heads == []


async def test_base_path_stands_before_the_target_and_dots_in_the_query_pass(
    make_gatehouse: Make, listener: Listener
):
    gatehouse = make_gatehouse(f"http://127.0.0.1:{listener.port}/base")
    await ask(gatehouse, request(target=b"/a..b/.hidden?x=/../y"))
    assert listener.lines()[0] == b"GET /base/a..b/.hidden?x=/../y HTTP/1.1"


async def test_host_of_the_origin_is_said_when_asked_for(make_gatehouse: Make, listener: Listener):
    gatehouse = make_gatehouse(f"localhost:{listener.port}", host_header="origin")
    await ask(gatehouse, request(headers=[(b"Origin", b"https://app.example")]))
    lines = listener.lines()
    assert lines[1] == b"Host: localhost:%d" % listener.port
    assert b"Origin: https://app.example" in lines
    assert b"X-Forwarded-Host: tools.example" in lines


# MCP tunnels.


def mcp(make_gatehouse: Make, port: int, **changes: object) -> Gatehouse:
    gatehouse = make_gatehouse(f"mcp+http://127.0.0.1:{port}/mcp", host_header="origin", **changes)
    gatehouse.set_public_urls(["https://tools.example/mcp"])
    return gatehouse


async def test_mcp_visitor_of_the_public_name_is_the_origins_own_visitor(
    make_gatehouse: Make, listener: Listener
):
    gatehouse = mcp(make_gatehouse, listener.port)
    head = request(
        b"POST",
        b"/mcp",
        body=2,
        headers=[(b"Origin", b"https://TOOLS.example"), (b"Mcp-Session-Id", b"s1")],
    )
    visitor = await ask(gatehouse, head, body=b"{}")
    assert visitor.head.status == 200
    lines = listener.lines()
    assert lines[:2] == [b"POST /mcp HTTP/1.1", b"Host: 127.0.0.1:%d" % listener.port]
    assert b"Origin: http://127.0.0.1:%d" % listener.port in lines
    assert b"Mcp-Session-Id: s1" in lines


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"host": b"rebound.example"}, 421, b"host-misdirected"),
        ({"host": b"127.0.0.1:80"}, 421, b"host-misdirected"),
        ({"headers": [(b"Origin", b"https://evil.example")]}, 403, b"origin-field-refused"),
        ({"headers": [(b"Origin", b"null")]}, 403, b"origin-field-refused"),
        ({"headers": [(b"Origin", b"https://tools.example.evil")]}, 403, b"origin-field-refused"),
    ],
)
async def test_mcp_visitor_of_another_name_or_page_is_refused(
    make_gatehouse: Make, listener: Listener, changes: dict[str, object], status: int, code: bytes
):
    visitor = await ask(mcp(make_gatehouse, listener.port), request(**changes))
    assert (visitor.head.status, visitor.field(b"Underpass-Error")) == (status, code)
    assert listener.heads == []


async def test_mcp_tunnel_without_a_public_name_admits_nobody(
    make_gatehouse: Make, listener: Listener
):
    gatehouse = make_gatehouse(f"mcp+http://127.0.0.1:{listener.port}/mcp", host_header="origin")
    assert (await ask(gatehouse, request())).head.status == 421


async def test_loopback_tunnel_is_known_by_its_aliases(make_gatehouse: Make, listener: Listener):
    gatehouse = mcp(make_gatehouse, listener.port)
    gatehouse.set_public_urls(["http://127.0.0.1:4321/mcp"])
    for host in (b"127.0.0.1:4321", b"localhost:4321", b"tools.localhost:4321"):
        head = request(host=host, headers=[(b"Origin", b"http://" + host)])
        assert (await ask(gatehouse, head)).head.status == 200
    assert (await ask(gatehouse, request(host=b"localhost:4322"))).head.status == 421


async def test_mcp_client_gets_its_own_id_back_when_the_origin_is_away(make_gatehouse: Make):
    async with raw_origin(lambda reader, writer: asyncio.sleep(0)) as gone:
        pass
    gatehouse = mcp(make_gatehouse, gone.port)
    body = b'{"jsonrpc":"2.0","method":"tools/call","params":{"id":1},"id":"abc"}'
    head = request(
        b"POST", b"/mcp", body=len(body), headers=[(b"Content-Type", b"application/json")]
    )
    visitor = await ask(gatehouse, head, body=body)
    assert visitor.head.status == 503
    answer = json.loads(visitor.body)
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", "abc")
    assert answer["error"]["data"]["code"] == "origin-away"
    assert visitor.field(b"Content-Type") == b"application/json"


async def test_mcp_client_without_a_credential_gets_no_id(make_gatehouse: Make, listener: Listener):
    gatehouse = mcp(make_gatehouse, listener.port, guard=BEARER)
    body = b'{"jsonrpc":"2.0","method":"ping","id":7}'
    head = request(
        b"POST", b"/mcp", body=len(body), headers=[(b"Content-Type", b"application/json")]
    )
    visitor = await ask(gatehouse, head, body=body)
    assert visitor.head.status == 401
    assert json.loads(visitor.body)["id"] is None


# CORS.


async def test_preflight_of_an_allowed_page_is_answered_without_a_credential(
    make_gatehouse: Make, listener: Listener
):
    gatehouse = make_gatehouse(f"{listener.port}", guard=BEARER, cors=("https://app.example",))
    fields = [
        (b"Origin", b"https://app.example"),
        (b"Access-Control-Request-Method", b"POST"),
        (b"Access-Control-Request-Headers", b"authorization, content-type"),
    ]
    visitor = await ask(gatehouse, request(b"OPTIONS", headers=fields))
    assert visitor.head.status == 204
    assert visitor.field(b"Access-Control-Allow-Origin") == b"https://app.example"
    assert visitor.field(b"Access-Control-Allow-Headers") == b"authorization, content-type"
    fields[0] = (b"Origin", b"https://evil.example")
    assert (await ask(gatehouse, request(b"OPTIONS", headers=fields))).head.status == 401
    assert listener.heads == []


async def test_answers_let_an_allowed_page_read_them(make_gatehouse: Make, listener: Listener):
    gatehouse = make_gatehouse(f"{listener.port}", guard=BEARER, cors=("https://app.example",))
    origin = (b"Origin", b"https://app.example")
    token = (b"Authorization", b"Bearer up_right")
    for fields, status in (([origin], 401), ([origin, token], 200)):
        visitor = await ask(gatehouse, request(headers=fields))
        assert visitor.head.status == status
        assert visitor.field(b"Access-Control-Allow-Origin") == b"https://app.example"
    other = await ask(gatehouse, request(headers=[token]))
    assert other.field(b"Access-Control-Allow-Origin") is None
