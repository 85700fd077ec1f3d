"""Seven applications that let their own machine in without a password, each by another mistake.

The shapes are those of public incidents of 2026 (tunnelled visitors who were taken for the machine
itself); the code is the least that makes each.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

IsLocal = Callable[[Request], bool]


def _peer(request: Request) -> str:
    assert request.client is not None
    return request.client.host


def exact_peer(request: Request) -> bool:
    """The peer is written 127.0.0.1."""
    return _peer(request) == "127.0.0.1"


def any_loopback_peer(request: Request) -> bool:
    """The peer is anything that counts as loopback."""
    address = ipaddress.ip_address(_peer(request))
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def first_forwarded(request: Request) -> bool:
    """The first address that X-Forwarded-For names, the peer without one: what a visitor says."""
    first = request.headers.get("x-forwarded-for", _peer(request)).split(",")[0].strip()
    return first in ("127.0.0.1", "::1", "localhost")


def real_ip(request: Request) -> bool:
    """X-Real-IP, or CF-Connecting-IP, or the peer."""
    named = request.headers.get("x-real-ip") or request.headers.get("cf-connecting-ip")
    return (named or _peer(request)) in ("127.0.0.1", "::1")


def own_host(request: Request) -> bool:
    """Whoever says Host: localhost must be here."""
    return request.url.hostname in ("localhost", "127.0.0.1", "::1")


def peer_or_host(request: Request) -> bool:
    """Either will do."""
    return any_loopback_peer(request) or own_host(request)


def unproxied_peer(request: Request) -> bool:
    """A loopback peer, unless a proxy left its fields."""
    return any_loopback_peer(request) and "x-forwarded-for" not in request.headers


SHAPES: dict[str, IsLocal] = {
    shape.__name__: shape
    for shape in (
        *(exact_peer, any_loopback_peer, first_forwarded, real_ip, own_host, peer_or_host),
        unproxied_peer,
    )
}


def application(is_local: IsLocal) -> Starlette:
    """``/admin`` is for local ones and for who has a password; ``/`` for all; ``/vault`` for none
    without it, wherever they come from."""

    async def admin(request: Request) -> Response:
        if is_local(request) or request.headers.get("authorization") == "Bearer app-password":
            return PlainTextResponse("everything")
        return PlainTextResponse("who are you?", status_code=401)

    async def vault(request: Request) -> Response:
        return PlainTextResponse("no", status_code=403)

    async def home(request: Request) -> Response:
        return PlainTextResponse("welcome")

    routes = [Route("/", home), Route("/admin", admin), Route("/vault", vault)]
    return Starlette(routes=routes)


@contextlib.asynccontextmanager
async def serve(is_local: IsLocal) -> AsyncIterator[int]:
    """The application behind a real server on loopback; its port."""
    config = uvicorn.Config(
        application(is_local), port=0, log_level="error", lifespan="off", proxy_headers=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.force_exit = True
        await server.shutdown()
