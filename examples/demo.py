"""`make demo`: a real MCP server, opened through the built-in relay, proved, and called.

Starts `demo_mcp_server.py` (the official SDK, default settings) on a free port, opens a tunnel to
it, prints what to try, and stays until Ctrl-C; with `--once` it calls a tool through the tunnel
with the SDK's own client and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

from underpass.api.places import runtime_dir, state_dir
from underpass.assembly import OpenTunnel, open_tunnel
from underpass.model.errors import UnderpassError
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec

HERE = Path(__file__).resolve().parent
START_SECONDS = 20.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def wait_listening(port: int, server: asyncio.subprocess.Process) -> None:
    """Wait until the server takes connections."""
    async with asyncio.timeout(START_SECONDS):
        while server.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise SystemExit("the demo MCP server did not start")


async def call_through(tunnel: OpenTunnel) -> str:
    """List the tools and call one, as any MCP client would."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    token = tunnel.access.token
    assert token is not None
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{tunnel.url}/mcp", http_client=http)) as client,
    ):
        tools = await client.list_tools()
        result = await client.call_tool("add", {"a": 2, "b": 40})
    return f"{len(tools.tools)} tools; add(2, 40) = {result.structured_content}"


def explain(tunnel: OpenTunnel) -> str:
    """What the demo prints."""
    verdict = tunnel.verdict
    layers = ", ".join(f"{layer} {result.status}" for layer, result in verdict.layers.items())
    return (
        f"url      {tunnel.url}/mcp\n"
        f"token    in {tunnel.access.token_file} (0600)\n"
        f"try      claude mcp add --transport http demo {tunnel.url}/mcp "
        f'--header "Authorization: Bearer $(cat {tunnel.access.token_file})"\n'
        f"verdict  {'live' if verdict.ok else 'not live'}: {layers}"
    )


async def demo(once: bool) -> int:
    """Run the demo; returns the exit code."""
    port = free_port()
    command = [sys.executable, str(HERE / "demo_mcp_server.py"), str(port)]
    quiet = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    try:
        await wait_listening(port, server)
        spec = parse_spec(f"mcp+http://127.0.0.1:{port}/mcp --purpose demo")
        options = OpenOptions(state_dir=state_dir(), runtime_dir=runtime_dir())
        async with await open_tunnel(spec, options) as tunnel:
            print(explain(tunnel))
            if once:
                print(f"called   {await call_through(tunnel)}")
            else:
                print("Ctrl-C closes it", flush=True)
                await tunnel.wait_closed()
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await server.wait()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(demo("--once" in sys.argv[1:])))
    except UnderpassError as error:
        sys.exit(f"{error}\n{error.hint or ''}")
    except KeyboardInterrupt:
        sys.exit(130)
