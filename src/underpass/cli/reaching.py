"""Making a gated tcp tunnel local, in the foreground: listen, tell where, tell what is refused.

No connection is tried beforehand: the origin would see it, and databases log and block empty
connections. A refusal is told when it happens.
"""

from __future__ import annotations

import asyncio
import os

from underpass.cli.failure import report
from underpass.cli.listening import listen_refused
from underpass.cli.options import format_address
from underpass.cli.running import Stop
from underpass.cli.terminal import json_line, prose, result
from underpass.guard.secrets import read_secret
from underpass.model.errors import UnderpassError
from underpass.model.options import ReachOptions
from underpass.relay.connector.address import parse_relay
from underpass.relay.connector.reach import Reacher

SCHEMA = "underpass/v1/reach"


async def reach(options: ReachOptions) -> int:
    """Listen until a signal; returns the exit code."""
    token = read_secret(options.token_file)
    reacher = Reacher(parse_relay(options.relay), options.name, token)
    async with Stop() as stop:
        server = await _listen(reacher, options)
        try:
            _tell_ready(format_address(server.sockets[0].getsockname()[:2]), options)
            await stop.asked.wait()
        finally:
            # Connections in progress end with the process.
            server.close()
    return stop.exit_code


async def _listen(reacher: Reacher, options: ReachOptions) -> asyncio.Server:
    def tell(error: UnderpassError) -> None:
        report(error, as_json=options.json, environ=os.environ)

    host, port = options.listen
    try:
        return await reacher.serve(host, port, tell)
    except OSError as error:
        raise listen_refused(options.listen, error) from error


def _tell_ready(address: str, options: ReachOptions) -> None:
    if options.json:
        json_line({"schema": SCHEMA, "event": "ready", "name": options.name, "listen": address})
    else:
        result(address)
        prose(f"{options.name} is at {address}; Ctrl-C ends it")
