"""Five servers that people run, each with an application that writes down what it saw."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from underpass.testing.sshd import free_port

SERVERS = ("uvicorn-h11", "uvicorn-httptools", "hypercorn", "aiohttp", "gunicorn", "nginx")
PATIENCE = 30.0

_NGINX = """
daemon off;
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
  large_client_header_buffers 4 128k;
  client_max_body_size 1m;
  underscores_in_headers on;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_set_header Host $http_host; }}
  }}
}}
"""


class Server:
    """One running server."""

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        self.home = home
        self.port = free_port()
        self.file = home / "seen.jsonl"
        self.file.touch()

    def seen(self) -> dict[int, list[dict[str, Any]]]:
        """What it made of each case, by number; -1: what belongs to none."""
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for line in self.file.read_text().splitlines():
            told = json.loads(line)
            digits = "".join(c if c.isdigit() else " " for c in told["target"]).split()
            found[int(digits[0]) if digits else -1].append(told)
        return found

    def complaints(self) -> list[str]:
        """What it said of requests that it could not read."""
        log = self.home / "error.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [line for line in lines if "client sent" in line]


@asynccontextmanager
async def serve(home: Path, name: str) -> AsyncIterator[Server]:
    """The server called ``name``, ended with its whole process group."""
    server = Server(home, name)
    behind = name
    port = server.port
    commands = []
    if name == "nginx":
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            why = "no nginx: make packages"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        behind, port = "uvicorn-h11", free_port()
        config = home / "nginx.conf"
        config.write_text(_NGINX.format(home=home, port=server.port, behind=port))
        commands.append(
            (program, "-c", str(config), "-p", str(home), "-e", str(home / "start.log"))
        )
    script = Path(__file__).with_name("seen.py")
    commands.append((sys.executable, str(script), behind, str(port), str(server.file)))
    processes = [
        await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in commands
    ]
    try:
        for each in {port, server.port}:
            await _listening(each)
        yield server
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)  # a foreign program tells nobody when it listens
            else:
                writer.close()
                return
