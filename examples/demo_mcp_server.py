"""A stock MCP server to put behind a tunnel: the official SDK with its default settings.

    python examples/demo_mcp_server.py 3001      # serves http://127.0.0.1:3001/mcp

Nothing in it knows about tunnels. Like every server made with the SDK's defaults it listens on
loopback, answers with event streams, keeps sessions, and refuses requests whose Host is not its
own; a tunnel has to cope with each of these.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("underpass demo", instructions="Small tools to try a tunnel with.")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def now() -> str:
    """The time on the server's machine, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@server.tool()
async def count_down(context: Context, start: int = 5, interval: float = 1.0) -> str:
    """Counts down to zero and reports each step as progress while the call is running."""
    for step in range(start):
        await context.report_progress(step, start, f"{start - step} …")
        await asyncio.sleep(interval)
    await context.report_progress(start, start, "0")
    return f"counted {start} steps"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int, nargs="?", default=3001, help="default: 3001")
    server.run("streamable-http", port=parser.parse_args().port)
