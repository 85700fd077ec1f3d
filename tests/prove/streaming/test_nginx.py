"""A real proxy on the way, set as people set it: what it does to streams is found and named."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.assembly import open_tunnel
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec
from underpass.prove.streaming.examination import examine
from underpass.prove.streaming.judgement import ELSEWHERE
from underpass.prove.streaming.results import Parameters
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.ports import free_port

PATIENCE = 90.0

ASKED = Parameters(
    samples=5, rates=((10, 10),), silence_ms=500, size=300_000, tokens=2_000, departures=1
)

CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log info;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  client_max_body_size 1g;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      {more}
    }}
  }}
}}
"""

KIND = "proxy_pass_header X-Accel-Buffering;"
"""nginx heeds this field of the origin's, and keeps it for itself unless told to pass it on."""

PACKING = f"{KIND} gzip on; gzip_proxied any; gzip_types text/plain text/event-stream;"

COLLECTING = f"{KIND} proxy_ignore_headers X-Accel-Buffering;"


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="up-") as path:
        yield Path(path)


@asynccontextmanager
async def nginx(home: Path, behind: int, more: str) -> AsyncIterator[int]:
    """Its port."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        why = "no nginx: make packages"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    port = free_port()
    config = home / "nginx.conf"
    config.write_text(CONFIGURATION.format(home=home, port=port, behind=behind, more=more))
    process = await asyncio.create_subprocess_exec(
        *(program, "-c", str(config), "-p", str(home), "-e", str(home / "start.log")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)  # nobody tells when it listens
                else:
                    writer.transport.abort()
                    break
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    ("more", "expected", "words"),
    [
        (KIND, set(), "nothing is packed, rewritten or taken away"),
        ("", {"unchanged"}, "of the answer: x-accel-buffering"),
        (PACKING, {"unchanged"}, "answers are packed with gzip"),
        (COLLECTING, {"unbuffered"}, "nothing is packed"),
    ],
    ids=["kind", "default", "packing", "collecting"],
)
async def test_what_nginx_does_is_named(
    more: str, expected: set[str], words: str, short: Path, tmp_path: Path
) -> None:
    options = OpenOptions(state_dir=tmp_path / "state", runtime_dir=short)
    async with HttpOrigin() as origin:
        tunnel = await open_tunnel(parse_spec(str(origin.port)), options)
        try:
            subject = tunnel.examination.subject
            assert subject is not None
            async with nginx(tmp_path, subject.door.address.port, more) as port:

                async def dial() -> socket.socket:
                    made = socket.socket()
                    made.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
                    return made

                way = replace(subject, door=replace(subject.door, dialler=dial))
                async with asyncio.timeout(PATIENCE):
                    said: Any = await examine(
                        way,
                        ASKED,
                        Ed25519PrivateKey.generate(),
                        lambda progress: None,
                        limits=ELSEWHERE,
                    )
        finally:
            await tunnel.close()
    failed = {line["name"] for line in said["lines"] if line["outcome"] == "failed"}
    assert failed == expected, (said["lines"], said["measured"]["faults"])
    assert any(words in line["words"] for line in said["lines"] if line["name"] == "unchanged")
