"""What leaves an MCP tunnel names the public address, in the places where clients look for it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.mcp.documents import LONGEST
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import Guard, LinkGate
from underpass.guard.secrets import Secret, hash_token

Make = Callable[..., Gatehouse]

RESOURCE = "/.well-known/oauth-protected-resource/mcp"


class Origin:
    """A server that names itself by its own address wherever servers do."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def app(self) -> Starlette:
        def route(path: str, answer: Callable[[Request], Response]) -> Route:
            async def endpoint(request: Request) -> Response:
                self.seen.append(request)
                return answer(request)

            return Route(path, endpoint, methods=["GET", "POST"])

        return Starlette(
            routes=[
                route(RESOURCE, lambda _: self.metadata(ETag='"origin"')),
                route("/custom/metadata", lambda _: self.metadata()),
                route("/custom/other", lambda _: self.metadata()),
                route("/.well-known/agent-card.json", lambda _: self.card()),
                route("/.well-known/agent.json", lambda _: self.card(signatures=[{"s": "x"}])),
                route("/.well-known/openid-configuration", lambda _: self.zipped()),
                route("/.well-known/mcp/large", lambda _: self.large()),
                route("/.well-known/mcp/parts", lambda _: self.in_parts()),
                route("/mcp", lambda _: self.refusal(self.challenge(RESOURCE))),
                route(
                    "/other",
                    lambda _: self.refusal(self.challenge("/custom/metadata")),
                ),
                route("/moved", lambda _: RedirectResponse(self.url + "/mcp/", 307)),
                route("/echo", lambda request: self.reflect(request)),
            ]
        )

    def metadata(self, **fields: str) -> Response:
        told = {"resource": self.url + "/mcp", "authorization_servers": [self.url + "/"]}
        return JSONResponse(told, headers=fields)

    def card(self, **more: object) -> Response:
        interface = {"url": f"http://127.0.0.1:{self.port}/a2a", "protocolBinding": "JSONRPC"}
        return JSONResponse({"name": "agent", "supportedInterfaces": [interface], **more})

    def zipped(self) -> Response:
        body = gzip.compress(json.dumps({"issuer": self.url}).encode())
        return Response(body, media_type="application/json", headers={"Content-Encoding": "gzip"})

    def large(self) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b'{"url":"' + self.url.encode() + b'","pad":"'
            yield b"x" * (2 * LONGEST)
            yield b'"}'

        return StreamingResponse(parts(), media_type="application/json")

    def in_parts(self) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            whole = json.dumps({"url": self.url}).encode()
            for at in range(len(whole)):
                yield whole[at : at + 1]

        return StreamingResponse(parts(), media_type="application/json")

    def challenge(self, path: str) -> str:
        return f'Bearer resource_metadata="{self.url}{path}"'

    def refusal(self, challenge: str) -> Response:
        return Response("no", 401, headers={"WWW-Authenticate": challenge})

    def reflect(self, request: Request) -> Response:
        allowed = request.headers.get("origin", "")
        return Response("ok", headers={"Access-Control-Allow-Origin": allowed})


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    made = Origin()
    config = uvicorn.Config(made.app(), port=0, log_level="error", lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    made.port = server.servers[0].sockets[0].getsockname()[1]
    yield made
    server.force_exit = True
    await server.shutdown()


@asynccontextmanager
async def tunnel_to(
    make: Make, port: int, guard: Guard | None = None
) -> AsyncIterator[tuple[str, httpx2.AsyncClient]]:
    gatehouse = make(f"mcp+http://localhost:{port}/mcp", guard=guard, host_header="origin")
    door = SocketDoor(gatehouse, DoorSettings(heartbeats=True, fin_departs=True))
    server = await open_door(door)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    gatehouse.set_public_urls([url])
    try:
        async with httpx2.AsyncClient(trust_env=False, base_url=url) as client:
            yield url, client
    finally:
        server.close()
        door.close()


async def test_metadata_names_the_resource_that_the_client_dialled(
    make_gatehouse: Make, origin: Origin
):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        answer = await client.get(RESOURCE, headers={"Accept-Encoding": "gzip"})
        assert answer.json() == {"resource": f"{url}/mcp", "authorization_servers": [f"{url}/"]}
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert origin.seen[-1].headers["accept-encoding"] == "identity"
        alias = url.replace("127.0.0.1", "localhost")
        port = alias.rpartition(":")[2]
        answer = await client.get(RESOURCE, headers={"Host": f"localhost:{port}"})
        assert answer.json()["resource"] == f"{alias}/mcp"


async def test_a_changed_document_has_a_tag_of_its_own(make_gatehouse: Make, origin: Origin):
    async with tunnel_to(make_gatehouse, origin.port) as (_, client):
        first = await client.get(RESOURCE)
        tag = first.headers["etag"]
        assert tag != '"origin"'
        again = await client.get(RESOURCE, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "if-none-match" not in origin.seen[-1].headers
        other = await client.get(RESOURCE, headers={"If-None-Match": '"origin"'})
        assert other.status_code == 200


async def test_head_of_a_document_tells_no_length_of_other_bytes(
    make_gatehouse: Make, origin: Origin
):
    async with tunnel_to(make_gatehouse, origin.port) as (_, client):
        answer = await client.head(RESOURCE)
        assert answer.status_code == 200
        assert "etag" not in answer.headers
        assert "content-length" not in answer.headers


async def test_a_challenge_leads_to_the_public_metadata(make_gatehouse: Make, origin: Origin):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        answer = await client.post("/mcp", json={})
        expected = f'Bearer resource_metadata="{url}{RESOURCE}"'
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, expected)


async def test_metadata_that_a_challenge_named_is_a_document_wherever_it_is(
    make_gatehouse: Make, origin: Origin
):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        assert (await client.get("/custom/metadata")).json()["resource"] == f"{origin.url}/mcp"
        await client.post("/other", json={})
        assert (await client.get("/custom/metadata")).json()["resource"] == f"{url}/mcp"
        assert (await client.get("/custom/other")).json()["resource"] == f"{origin.url}/mcp"


async def test_an_agents_card_names_its_public_interfaces(make_gatehouse: Make, origin: Origin):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        card = (await client.get("/.well-known/agent-card.json")).json()
        assert card["supportedInterfaces"][0]["url"] == f"{url}/a2a"


async def test_a_signed_card_is_left_alone_and_said_so(
    make_gatehouse: Make, origin: Origin, caplog: pytest.LogCaptureFixture
):
    async with tunnel_to(make_gatehouse, origin.port) as (_, client):
        for _ in range(2):
            answer = await client.get("/.well-known/agent.json")
            interface = answer.json()["supportedInterfaces"][0]["url"]
            assert interface == f"http://127.0.0.1:{origin.port}/a2a"
            assert answer.headers["underpass-note"] == "signed-document-not-rewritten"
    said = [record.message for record in caplog.records if "is signed" in record.message]
    assert len(said) == 1


async def test_what_is_encoded_after_all_passes_as_it_is(make_gatehouse: Make, origin: Origin):
    async with tunnel_to(make_gatehouse, origin.port) as (_, client):
        answer = await client.get("/.well-known/openid-configuration")
        assert answer.json() == {"issuer": origin.url}


async def test_a_document_in_parts_is_changed_and_a_huge_one_streams_past(
    make_gatehouse: Make, origin: Origin
):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        assert (await client.get("/.well-known/mcp/parts")).json() == {"url": url}
        large = (await client.get("/.well-known/mcp/large")).json()
        assert (large["url"], len(large["pad"])) == (origin.url, 2 * LONGEST)


async def test_redirects_stay_in_public(make_gatehouse: Make, origin: Origin):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        assert (await client.get("/moved")).headers["location"] == f"{url}/mcp/"


async def test_a_page_finds_its_own_origin_allowed(make_gatehouse: Make, origin: Origin):
    async with tunnel_to(make_gatehouse, origin.port) as (url, client):
        answer = await client.get("/echo", headers={"Origin": url})
        assert origin.seen[-1].headers["origin"] == origin.url
        assert answer.headers["access-control-allow-origin"] == url


async def test_behind_a_link_the_addresses_hold_the_visitors_own_link(
    make_gatehouse: Make, origin: Origin
):
    secret = Secret("up_link")
    guard = Guard([LinkGate(hash_token(secret.reveal()))])
    async with tunnel_to(make_gatehouse, origin.port, guard) as (url, client):
        answer = await client.get(f"/up_link{RESOURCE}")
        assert answer.json()["resource"] == f"{url}/up_link/mcp"


async def test_a_document_that_breaks_off_never_looks_complete(make_gatehouse: Make):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with asyncio.timeout(10), server:
        port = server.sockets[0].getsockname()[1]
        async with tunnel_to(make_gatehouse, port) as (_, client):
            with pytest.raises(httpx2.TransportError):
                await client.get(RESOURCE)


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_the_endpoint_event_of_the_oldest_era_is_moved_and_nothing_waits(
    make_gatehouse: Make,
):
    go_on = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        port = writer.get_extra_info("sockname")[1]
        event = b"event: endpoint\r\ndata: http://localhost:%d/messages?s=1\r\n\r\n" % port
        writer.write(EVENTS + b"%x\r\n%s\r\n" % (len(event), event))
        await go_on.wait()
        writer.write(b"5\r\ndata:\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with asyncio.timeout(10), server:
        port = server.sockets[0].getsockname()[1]
        async with tunnel_to(make_gatehouse, port) as (url, client):
            accept = {"Accept": "text/event-stream"}
            async with client.stream("GET", "/sse", headers=accept) as answer:
                parts = answer.aiter_raw()
                first = await anext(parts)
                assert first == f"event: endpoint\r\ndata: {url}/messages?s=1\r\n\r\n".encode()
                go_on.set()
                assert await anext(parts) == b"data:"
