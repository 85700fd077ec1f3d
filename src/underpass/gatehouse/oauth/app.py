"""The authorization server's own addresses, as an ASGI application for the gatehouse.

    /.well-known/oauth-protected-resource[/PATH]     RFC 9728
    /.well-known/oauth-authorization-server[/PATH]   RFC 8414, also where OpenID Connect has it
    /.underpass/oauth/authorize                      the consent page
    /.underpass/oauth/signin, /.underpass/oauth/callback
    /.underpass/oauth/token, …/register, …/revoke    for clients; pages of other origins may call

What is valid, and what is given, the server decides (``guard.oauth``); here it becomes HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from underpass.gatehouse.inner_exchange import AsgiApp, Message
from underpass.gatehouse.oauth.browser import address_of
from underpass.gatehouse.oauth.desk import OAuthDesk
from underpass.gatehouse.oauth.signin import SignInPages
from underpass.guard.oauth.authlib_server import Reply
from underpass.guard.oauth.place import OWN

_FOR_CLIENTS: Final = ("/token", "/register", "/revoke")

_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "WWW-Authenticate",
}
_PREFLIGHT: Final = {
    **_CORS,
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, MCP-Protocol-Version",
    "Access-Control-Max-Age": "3600",
}
"""No cookie counts at these addresses, so any page may call them: browser-based clients do."""


def build_oauth_app(desk: OAuthDesk) -> AsgiApp:
    """The application that answers for ``desk``."""
    pages = SignInPages(desk)
    answers: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
        ("GET", "/authorize"): pages.authorize,
        ("POST", "/authorize"): pages.consent,
        ("GET", "/signin"): pages.go_on,
        ("GET", "/callback"): pages.callback,
    }

    async def answer(request: Request) -> Response:
        # As it was sent: what the desk took it for is what is answered (``OAuthDesk.takes``).
        place, path = desk.books.place, str(request.scope["raw_path"], "latin-1")
        if place is None:
            return Response(status_code=503)
        if path in place.resource_paths or path in place.server_paths:
            return _document(desk, request, path in place.resource_paths)
        own = path.removeprefix(OWN)
        if own in _FOR_CLIENTS:
            return await _answer_client(desk, request, own)
        page = answers.get(("GET" if request.method == "HEAD" else request.method, own))
        if page is None:
            return Response("there is no such page here\n", 404, media_type="text/plain")
        return await page(request)

    async def app(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        response = await answer(Request(scope, receive))
        await response(scope, receive, send)

    return app


def _document(desk: OAuthDesk, request: Request, is_of_resource: bool) -> Response:
    place = desk.books.place
    assert place is not None
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_PREFLIGHT)
    if request.method not in ("GET", "HEAD"):
        return Response(status_code=405, headers={"Allow": "GET, HEAD, OPTIONS"})
    told = place.resource_document(desk.tunnel) if is_of_resource else place.server_document()
    # Short: behind a name that moves, an old document leads clients astray for as long.
    headers = {**_CORS, "Cache-Control": "public, max-age=60"}
    return Response(json.dumps(told), 200, headers, media_type="application/json")


async def _answer_client(desk: OAuthDesk, request: Request, own: str) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_PREFLIGHT)
    if request.method != "POST":
        return Response(status_code=405, headers={"Allow": "POST, OPTIONS"})
    body = await request.body()
    # Two of them are joined into one that shows no client (``check_basic``).
    authorization = ", ".join(request.headers.getlist("authorization"))
    if own == "/register":
        reply = desk.register(body, address_of(request))
    elif own == "/token":
        reply = desk.server.token(body, authorization)
    else:
        reply = desk.server.revoke(body, authorization)
    return response_of(reply, _CORS)


def response_of(reply: Reply, more: dict[str, str] | None = None) -> Response:
    """The server's answer as a response."""
    response = Response(reply.body, reply.status)
    for name, value in (*reply.headers, *(more or {}).items()):
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response
