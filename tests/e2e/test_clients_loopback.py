"""The printed URL, unchanged, in the clients that people have: curl, Python, Node, Chromium."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.e2e.stage import Stage, Tunnel, tool

from underpass.testing.origins.http import HttpOrigin

SECONDS = 60.0

PYTHON = """\
import json, sys, urllib.request
url, token = sys.argv[1], open(sys.argv[2]).read().strip()
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
print(json.load(urllib.request.urlopen(request))["target"])
"""

NODE = """\
const [url, file] = process.argv.slice(1);
const token = require("fs").readFileSync(file, "utf8").trim();
fetch(url, {headers: {Authorization: "Bearer " + token}})
  .then((answer) => answer.json())
  .then((seen) => console.log(seen.target));
"""

PAGE = """\
HTTP/1.1 200 OK\r
Content-Type: text/html\r
Content-Length: {length}\r
Connection: close\r
\r
{body}"""


@pytest.fixture
async def tunnel(stage: Stage, origin: HttpOrigin) -> Tunnel:
    return await stage.open(str(origin.port), "--name", "tools")


async def test_curl_as_the_command_that_is_suggested(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.start("open", str(origin.port), "--name", "tools")
    url = (await tunnel.next_line()).strip()
    await tunnel.until(lambda: any(line.strip().startswith("try") for line in tunnel.err))
    (suggested,) = (line for line in tunnel.err if line.strip().startswith("try"))
    command = suggested.strip().removeprefix("try").strip()
    done = await (await stage.spawn(tool("sh"), "-c", f"{command}/from/curl -s")).ended()
    assert (done.code, '"/from/curl"' in done.out) == (0, True)
    assert url in command


async def test_curl_reads_the_secret_from_a_file(stage: Stage, tunnel: Tunnel):
    """The secret is not in an argument: curl takes its header from a file."""
    header = stage.home / "header"
    header.write_text(f"Authorization: Bearer {tunnel.token}\n")
    for url in (
        tunnel.url,
        f"http://localhost:{tunnel.port}",
        f"http://tools.localhost:{tunnel.port}",
    ):
        words = ("-s", "-H", f"@{header}", f"{url}/from/curl")
        done = await (await stage.spawn(tool("curl"), *words)).ended()
        assert (done.code, '"/from/curl"' in done.out) == (0, True)


async def test_python(stage: Stage, tunnel: Tunnel):
    words = (f"{tunnel.url}/from/python", str(tunnel.token_file))
    done = await (await stage.spawn(sys.executable, "-c", PYTHON, *words)).ended()
    assert (done.code, done.out) == (0, "/from/python\n")


@pytest.mark.node
async def test_node(stage: Stage, tunnel: Tunnel):
    words = (f"{tunnel.url}/from/node", str(tunnel.token_file))
    done = await (await stage.spawn(tool("node"), "-e", NODE, *words)).ended()
    assert (done.code, done.out) == (0, "/from/node\n")


@pytest.mark.chromium
@pytest.mark.slow
async def test_chromium_opens_the_page_and_its_parts(stage: Stage, short_path: Path):
    """A page by `--gate link`, whose script fetches from the same tunnel and reads a stream."""
    import asyncio

    body = (
        "<title>page</title><script>fetch('part').then(a => a.text())"
        ".then(t => { document.title = t; document.body.textContent = t; })</script><body>"
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        while (await reader.readline()).strip():
            pass
        text = "fetched through the tunnel" if b"/part" in line else body
        writer.write(PAGE.format(length=len(text), body=text).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tunnel = await stage.open(str(port), "--public", "--for", "10m")
        browser = await stage.spawn(
            *(tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={short_path}", "--virtual-time-budget=10000", "--no-first-run"),
            f"{tunnel.url}/",
        )
        done = await browser.ended(SECONDS)
        assert "fetched through the tunnel" in done.out
        await tunnel.stop()
