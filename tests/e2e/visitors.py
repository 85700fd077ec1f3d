"""Visitors with plain sockets: one request, one answer, nothing between the test and the wire."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of several with one name the last."""
    body: bytes

    @property
    def code(self) -> str:
        """Our code for an answer of ours; "" for the origin's."""
        return self.headers.get("underpass-error", "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def get(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    host: str | None = None,
    tls: ssl.SSLContext | None = None,
    connect: tuple[str, int] | None = None,
) -> Answer:
    """Ask for ``url``; ``connect`` says where it really is, ``host`` what Host says."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    secure: dict[str, Any] = {}
    if parts.scheme == "https":
        secure = {"ssl": tls, "server_hostname": parts.hostname}
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            *(connect or (parts.hostname, port)), **secure
        )
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            fields = {"Host": host or parts.netloc, "Connection": "close", **(headers or {})}
            if body or method == "POST":
                fields["Content-Length"] = str(len(body))
            lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            return await _read_answer(reader, method)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader, method: str) -> Answer:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
            return Answer(head.status_code, fields, body)
