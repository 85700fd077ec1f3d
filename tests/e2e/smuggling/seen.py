"""An application that writes down what its server made of each request: run behind real servers.

Started as ``python seen.py SERVER PORT FILE``; each request is one JSON line in FILE: a ``head``
line when the application is called, a ``whole`` line when its body is complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

SEEN = ""
_LOCK = threading.Lock()


def note(
    kind: str, method: str, target: str, headers: Iterable[tuple[str, str]], **more: Any
) -> None:
    """Write one line at once: appended whole, also by several processes."""
    told = {"kind": kind, "method": method, "target": target, "headers": list(headers), **more}
    with _LOCK, open(SEEN, "ab", buffering=0) as file:
        file.write(json.dumps(told).encode() + b"\n")


def digest(body: bytes) -> dict[str, Any]:
    """How a body is told."""
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """For uvicorn and hypercorn."""
    if scope["type"] != "http":
        return
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
    note("head", scope["method"], target, headers)
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    note("whole", scope["method"], target, headers, **digest(body))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"seen"})


def wsgi(environ: dict[str, Any], start: Any) -> list[bytes]:
    """For gunicorn."""
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    ]
    method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]
    note("head", method, target, headers)
    try:
        body = environ["wsgi.input"].read()
    except Exception:  # whatever the server raises for a body that breaks off
        body = None
    if body is not None:
        note("whole", method, target, headers, **digest(body))
    start("200 OK", [("Content-Length", "4")])
    return [b"seen"]


def serve_aiohttp(port: int) -> None:
    """aiohttp brings its own application."""
    from aiohttp import web

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.raw_headers]
        note("head", request.method, request.raw_path, headers)
        body = await request.content.read()
        note("whole", request.method, request.raw_path, headers, **digest(body))
        return web.Response(body=b"seen")

    async def main() -> None:
        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    asyncio.run(main())


def main() -> None:
    """Serve until ended."""
    global SEEN
    server, port, SEEN = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if server == "aiohttp":
        serve_aiohttp(port)
    elif server.startswith("uvicorn"):
        import uvicorn

        http: Any = server.partition("-")[2] or "auto"
        uvicorn.run(asgi, port=port, http=http, log_level="critical", ws="none")
    elif server == "hypercorn":
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind, config.loglevel = [f"127.0.0.1:{port}"], "CRITICAL"
        asyncio.run(serve(asgi, config))  # type: ignore[arg-type]
    else:
        os.environ["SEEN"] = SEEN
        words = ["gunicorn", "--chdir", os.path.dirname(__file__), "--threads", "8"]
        words += ["--bind", f"127.0.0.1:{port}", "--log-level", "critical", "gunicorn_seen:app"]
        os.execv(sys.executable, [sys.executable, "-m", *words])


if __name__ == "__main__":
    main()
