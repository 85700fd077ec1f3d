"""Small applications of the corpus, each a program of its own: ``python apps.py NAME PORT``.

What is written here is only what an application's author would write; the danger, or its absence,
is the framework's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

PAGE = b"<!doctype html><title>Notes</title><h1>Notes</h1><p>Nothing to see.</p>"


def flask_debug(port: int) -> None:
    """Flask as its tutorial starts it."""
    from flask import Flask

    app = Flask("notes")
    app.add_url_rule("/", "index", lambda: "hello")
    app.run(port=port, debug=True, use_reloader=False)


def flask_plain(port: int) -> None:
    """Flask without its debugger, and an error page of its own."""
    from flask import Flask

    app = Flask("notes")
    app.add_url_rule("/", "index", lambda: "hello")
    app.run(port=port, debug=False)


def werkzeug_console(port: int) -> None:
    """A WSGI application behind the debugger, without a PIN."""
    import os

    from werkzeug.serving import run_simple
    from werkzeug.wrappers import Response

    os.environ["WERKZEUG_DEBUG_PIN"] = "off"
    run_simple("127.0.0.1", port, Response("hello"), use_debugger=True)


def about_werkzeug(port: int) -> None:
    """A page that talks about debuggers, notebooks and shells, and is none."""
    text = b"""<!doctype html><title>Werkzeug Debugger, Jupyter and ttyd compared</title>
    <h1>Index of tools</h1><p>The Werkzeug console sets EVALEX; set DEBUG = True in Django to see
    its page. ShellInABox, WeTTY and GoTTY are shells; Adminer and phpMyAdmin sign in to databases.
    You Know, for Search is Elasticsearch's tagline. Ollama is running on port 11434. Files within
    /srv are listed by serve; python -m http.server says Directory listing for /.</p>
    <pre>GET /api/kernelspecs, GET /json/list, POST /mcp tools/list</pre>"""
    _serve(port, lambda path: (200, "text/html", text))


def tools_json(port: int) -> None:
    """An API whose every answer speaks of tools, kernels, databases and versions."""
    text = b"""{"tools": [{"name": "hammer"}], "kernelspecs": "none", "default": 1, "ApiVersion": 3,
    "kind": "List", "items": [], "version": {"number": "1"}, "etcdserver": null, "models": [],
    "message": "You Know, for Search", "schema": "tools/v1", "method": "tools/list", "id": 1}"""
    _serve(port, lambda path: (200, "application/json", text))


def everything_is_a_page(port: int) -> None:
    """A single-page application: the same page for every path."""
    _serve(port, lambda path: (200, "text/html", PAGE))


def fastapi_login(port: int) -> None:
    """FastAPI with a password before everything but its documentation."""
    from typing import Annotated

    import uvicorn
    from fastapi import Depends, FastAPI
    from fastapi.security import HTTPBasic, HTTPBasicCredentials

    app = FastAPI()

    @app.get("/items")
    def items(who: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> list[str]:
        return [who.username]

    uvicorn.run(app, port=port, log_level="error")


def starlette_login(port: int) -> None:
    """Starlette that answers 401 to whoever has no session."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    async def closed(request: Request) -> Response:
        return PlainTextResponse("sign in", 401, {"WWW-Authenticate": "Bearer"})

    methods = ["GET", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", closed, methods=methods)])
    uvicorn.run(app, port=port, log_level="error")


def aiohttp_redirect(port: int) -> None:
    """aiohttp that sends everybody to its page for signing in."""
    from aiohttp import web

    async def login(request: web.Request) -> web.Response:
        form = '<title>Sign in</title><form method=post><input name="user"></form>'
        return web.Response(text=form, content_type="text/html")

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/login")

    app = web.Application()
    app.add_routes([web.get("/login", login), web.get("/{path:.*}", elsewhere)])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def django(port: int, *, debug: bool) -> None:
    """Django's development server with one view."""
    from django.conf import settings
    from django.core.management import execute_from_command_line
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(
        DEBUG=debug, ROOT_URLCONF="__main__", SECRET_KEY="notes" * 10, ALLOWED_HOSTS=["localhost"]
    )
    globals()["urlpatterns"] = [path("", lambda request: HttpResponse("hello"))]
    execute_from_command_line(["notes", "runserver", "--noreload", f"127.0.0.1:{port}"])


def mcp_open(port: int, *, stateless: bool = False) -> None:
    """A server of the official SDK as its documentation starts it."""
    _mcp_server().run(transport="streamable-http", port=port, stateless_http=stateless)


def mcp_events(port: int) -> None:
    """The same by the oldest transport."""
    _mcp_server().run(transport="sse", port=port)


def mcp_stateless_only(port: int) -> None:
    """The same, refusing whoever does not speak of 2026: no handshake is known to it."""
    import uvicorn
    from starlette.types import Receive, Scope, Send

    app = _mcp_server().streamable_http_app()

    async def modern(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            version = dict(scope["headers"]).get(b"mcp-protocol-version", b"")
            if version < b"2026":
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    uvicorn.run(modern, port=port, log_level="error")


def mcp_token(port: int) -> None:
    """The same behind a token."""
    import uvicorn
    from starlette.responses import PlainTextResponse
    from starlette.types import Receive, Scope, Send

    app = _mcp_server().streamable_http_app()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"authorization", b"Bearer x") not in scope["headers"]:
            await PlainTextResponse("no", 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        await app(scope, receive, send)

    uvicorn.run(guarded, port=port, log_level="error")


def json_rpc(port: int) -> None:
    """JSON-RPC that is no MCP: it knows no such method."""
    error = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no such method"}}'
    _serve(port, lambda path: (200, "application/json", error))


def metrics(port: int) -> None:
    """The metrics of an application of its own, by Prometheus' client."""
    import threading

    from prometheus_client import start_http_server

    start_http_server(port, "127.0.0.1")
    threading.Event().wait()


def _mcp_server():  # type: ignore[no-untyped-def]
    from mcp.server import MCPServer

    server = MCPServer("notes")

    @server.tool()
    def read_note(name: str) -> str:
        """Read a note."""
        return name

    return server


def _serve(port: int, answer: Callable[[str], tuple[int, str, bytes]]) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answer(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


APPS: dict[str, Callable[[int], None]] = {
    "flask-debug": flask_debug,
    "flask-plain": flask_plain,
    "werkzeug-console": werkzeug_console,
    "about-werkzeug": about_werkzeug,
    "tools-json": tools_json,
    "one-page": everything_is_a_page,
    "fastapi-login": fastapi_login,
    "starlette-login": starlette_login,
    "aiohttp-redirect": aiohttp_redirect,
    "django-debug": lambda port: django(port, debug=True),
    "django-plain": lambda port: django(port, debug=False),
    "mcp-sessions": mcp_open,
    "mcp-sessionless": lambda port: mcp_open(port, stateless=True),
    "mcp-stateless": mcp_stateless_only,
    "mcp-events": mcp_events,
    "mcp-token": mcp_token,
    "json-rpc": json_rpc,
    "metrics": metrics,
}

if __name__ == "__main__":
    APPS[sys.argv[1]](int(sys.argv[2]))
