"""Serving a relay in the foreground: ready, reload on SIGHUP, drain on SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal

from underpass.cli.assembled import RunningRelay, assembly
from underpass.cli.failure import explain, report
from underpass.cli.running import Stop
from underpass.cli.terminal import json_line, prose, result
from underpass.model.options import RelayOptions

SCHEMA = "underpass/v1/relay"


async def serve(options: RelayOptions) -> int:
    """Serve until a signal; returns the exit code."""
    async with Stop(signal.SIGINT, signal.SIGTERM) as stop:
        relay = await assembly().serve_relay(options)
        hung_up = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
        try:
            _tell_ready(relay, options)
            await _serve(relay, stop, hung_up, options)
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
            await relay.close()
        return stop.exit_code


async def _serve(
    relay: RunningRelay, stop: Stop, hung_up: asyncio.Event, options: RelayOptions
) -> None:
    async with asyncio.TaskGroup() as group:
        reloading = group.create_task(_reload(relay, hung_up, options), name="reload on SIGHUP")
        ended = group.create_task(relay.wait_closed(), name="wait for the end")
        asked = group.create_task(stop.asked.wait(), name="wait for a signal")
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            _tell("draining", options)
            await relay.drain()
        reloading.cancel()
        asked.cancel()


async def _reload(relay: RunningRelay, hung_up: asyncio.Event, options: RelayOptions) -> None:
    while True:
        await hung_up.wait()
        hung_up.clear()
        try:
            await relay.reload()
        except Exception as error:
            # A certificate with a mistake in it must not end a relay that serves.
            report(explain(error), as_json=options.json, environ=os.environ)
        else:
            _tell("reloaded", options)


def _tell_ready(relay: RunningRelay, options: RelayOptions) -> None:
    token_file = relay.enrol_token_file
    if options.json:
        json_line(
            {
                "schema": SCHEMA,
                "event": "ready",
                "public_url": relay.public_url,
                "link_url": relay.link_url,
                "enrol_token_file": None if token_file is None else str(token_file),
            }
        )
        return
    result(relay.public_url)
    prose("the relay is ready")
    enrol = "" if token_file is None else f" --enrol-token-file {token_file}"
    prose(f"  try  underpass open 3001 --relay {relay.link_url}{enrol}")


def _tell(event: str, options: RelayOptions) -> None:
    if options.json:
        json_line({"schema": SCHEMA, "event": event})
    else:
        prose(event)
