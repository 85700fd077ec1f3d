"""Making a gated tcp tunnel local: listen, and join each local connection to one of its own.

No connection is tried beforehand: the origin would see it, and databases log and block empty
connections. A refusal is told when it happens, and the local connection is reset.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from underpass.cli.assembled import assembly
from underpass.cli.errors import ListenRefused
from underpass.cli.failure import explain, report
from underpass.cli.forward import Side, pair
from underpass.cli.options import format_address
from underpass.cli.running import Stop
from underpass.cli.terminal import json_line, prose, result
from underpass.model.errors import UnderpassError
from underpass.model.options import ReachOptions

SCHEMA = "underpass/v1/reach"


async def reach(options: ReachOptions) -> int:
    """Listen until a signal; returns the exit code."""
    sides: set[Side] = set()
    tasks: set[asyncio.Task[None]] = set()
    async with Stop() as stop, asyncio.TaskGroup() as group:

        def accept() -> Side:
            near, far = pair()
            sides.add(near)
            task = group.create_task(_join(near, far, options), name="reach connection")
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda done: sides.discard(near))
            return near

        server = await _listen(options.listen, accept)
        try:
            _tell_ready(format_address(server.sockets[0].getsockname()[:2]), options)
            await stop.asked.wait()
        finally:
            server.close()
            for side in sides:
                side.abort()
            for task in tasks:
                task.cancel()
        await server.wait_closed()
    return stop.exit_code


def _tell_ready(address: str, options: ReachOptions) -> None:
    if options.json:
        json_line({"schema": SCHEMA, "event": "ready", "name": options.name, "listen": address})
    else:
        result(address)
        prose(f"{options.name} is at {address}; Ctrl-C ends it")


async def _listen(address: tuple[str, int], accept: Callable[[], Side]) -> asyncio.Server:
    host, port = address
    try:
        return await asyncio.get_running_loop().create_server(accept, host or None, port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ListenRefused(format_address(address), why) from error


async def _join(near: Side, far: Side, options: ReachOptions) -> None:
    try:
        async with asyncio.timeout(options.timeout):
            await assembly().connect_reach(options, lambda: far)
    except UnderpassError as error:
        near.abort()
        report(error, as_json=options.json, environ=os.environ)
    except Exception as error:
        near.abort()
        report(explain(error), as_json=options.json, environ=os.environ)
    else:
        await near.closed.wait()
        await far.closed.wait()
    finally:
        far.abort()
