"""Making a far host's service local by ssh, in the foreground: listen, tell where and how it is."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from underpass.assembly.via import OpenVia, open_via
from underpass.cli.listening import listen_refused
from underpass.cli.options import format_address
from underpass.cli.running import Stop
from underpass.cli.terminal import json_line, prose, result
from underpass.drivers.base import WritesFragments
from underpass.drivers.errors import EngineCannot
from underpass.drivers.plans import Site
from underpass.drivers.registry import load
from underpass.model.options import ViaOptions

SCHEMA = "underpass/v1/reach"


async def reach_via(options: ViaOptions) -> int:
    """Keep it local until a signal; returns the exit code."""
    async with Stop() as stop:
        asked = asyncio.create_task(stop.asked.wait(), name="wait for a signal")
        opening = asyncio.create_task(open_via(options), name="reach")
        try:
            await asyncio.wait({asked, opening}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return stop.exit_code
            open_ = await _opened(opening, options)
            try:
                await _keep(open_, asked, options)
            finally:
                await open_.close()
        finally:
            asked.cancel()
            opening.cancel()
            await asyncio.gather(asked, opening, return_exceptions=True)
    return stop.exit_code


async def _opened(opening: asyncio.Task[OpenVia], options: ViaOptions) -> OpenVia:
    try:
        return await opening
    except OSError as error:
        raise listen_refused(options.listen, error) from error


async def _keep(open_: OpenVia, asked: asyncio.Task[bool], options: ViaOptions) -> None:
    where = format_address(open_.address)

    def tell(event: str, why: str) -> None:
        if options.json:
            told = {"event": event, "target": options.target, "listen": where, "detail": why}
            json_line({"schema": SCHEMA, **told})
        else:
            prose(f"{options.target}: {event}: {why}")

    if not options.json:
        result(where)
    tell("ready", open_.greeted.detail)
    watching = asyncio.create_task(open_.watch(tell), name="watch the link")
    try:
        await asyncio.wait({asked, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            raise watching.result()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def print_fragment(engine: str, target: str, options: Mapping[str, str], port: int) -> int:
    """Print the engine's own configuration that does the same by hand; returns the exit code."""
    driver = load(engine)
    if not isinstance(driver, WritesFragments):
        raise EngineCannot(engine, "--ssh-config", "it has no such configuration")
    with tempfile.TemporaryDirectory(prefix="up-") as directory:
        environment = dict(os.environ)
        site = Site("reach", Path(directory), options=options, environment=environment)
        result((await driver.write_fragment(target, site, port)).rstrip("\n"))
    return 0
