"""Keeping one tunnel open in the foreground, and telling what happens to it.

Nothing is printed to stdout before the first proof has passed: only then is there a URL.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Mapping
from typing import Any

from underpass.cli.assembled import Access, OpenTunnel, assembly
from underpass.cli.running import Stop
from underpass.cli.shown import change_line, lease
from underpass.cli.terminal import facts, json_line, prose, result
from underpass.model.errors_relay import Superseded
from underpass.model.events import SCHEMA
from underpass.model.options import OpenOptions
from underpass.model.spec import TunnelSpec
from underpass.model.status import TunnelStatus


async def keep_open(spec: TunnelSpec, options: OpenOptions) -> int:
    """Open, tell, wait for the end, close; returns the exit code."""
    async with Stop() as stop:
        tunnel = await _open(spec, options, stop)
        if tunnel is None:
            return stop.exit_code
        async with asyncio.TaskGroup() as group:
            try:
                telling = group.create_task(_tell(tunnel.events(), options), name="tell changes")
                _tell_opened(tunnel, options)
                await _wait_end(tunnel, stop)
                if stop.asked.is_set() and not options.json:
                    prose("closing")
            finally:
                # Once: a second signal breaks this off, and nothing waits after that.
                await tunnel.close()
            last = await telling
    if stop.asked.is_set():
        return stop.exit_code
    if last == "superseded":
        raise Superseded(tunnel.status().name)
    # The origin's own program ended: its exit code is passed on, as a shell would.
    return tunnel.origin_exit_code or 0


async def _wait_end(tunnel: OpenTunnel, stop: Stop) -> None:
    ended = asyncio.create_task(tunnel.wait_closed(), name="wait for the end")
    asked = asyncio.create_task(stop.asked.wait(), name="wait for a signal")
    try:
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
    finally:
        ended.cancel()
        asked.cancel()


async def _open(spec: TunnelSpec, options: OpenOptions, stop: Stop) -> OpenTunnel | None:
    # None: a signal came first, and what had been begun is undone.
    async def opening() -> OpenTunnel:
        return await assembly().open_tunnel(spec, options)

    task = asyncio.create_task(opening(), name="open")
    asked = asyncio.create_task(stop.asked.wait(), name="wait for a signal")
    try:
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        asked.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _tell(changes: Any, options: OpenOptions) -> str:
    """Print each change; returns what the tunnel ended by."""
    ending = ""
    async for change in changes:
        if options.json:
            json_line(change)
        else:
            prose(change_line(change))
        if change["event"] != "closed":
            ending = change["event"]
    return ending


def _tell_opened(tunnel: OpenTunnel, options: OpenOptions) -> None:
    status, access = tunnel.status(), tunnel.access
    token = access.token.reveal() if access.token is not None and options.show_token else None
    if options.json:
        json_line(opened_object(status, access, token))
        return
    result(status.url or reach_command(status, access))
    prose(opened_page(status, access, token, time.time()))


def opened_object(status: TunnelStatus, access: Access, token: str | None) -> dict[str, object]:
    """The first object of ``open --json``."""
    shown: dict[str, object] = {
        "gate": access.gate,
        "token_file": None if access.token_file is None else str(access.token_file),
    }
    if token is not None:
        shown["token"] = token
    return {"schema": SCHEMA, "event": "live", **status.to_dict(), "access": shown}


def opened_page(status: TunnelStatus, access: Access, token: str | None, now: float) -> str:
    """What a person wants to know next."""
    pairs = [("gate", _gate_words(access))]
    if token is not None:
        pairs.append(("token", token))
    pairs.append(("lease", lease(status.lease.to_dict(), now)))
    if attempt := try_command(status, access):
        pairs.append(("try", attempt))
    proof = status.verdict
    passed = "live" if proof is None else f"live: {_layer_words(proof.to_dict())}"
    return f"{status.name} is {passed}\n{facts(pairs)}\nCtrl-C closes it"


def try_command(status: TunnelStatus, access: Access) -> str:
    """A command that shows the tunnel at work; "" when there is none.

    The secret is neither in it nor, when it runs, on any program's command line, which every user
    of the machine can read: the shell's own ``printf`` hands it to curl as configuration.
    """
    if status.url is None or str(status.kind) == "tcp" or access.gate == "oauth":
        return ""
    secret = None if access.token_file is None else shlex.quote(str(access.token_file))
    url = shlex.quote(status.url)
    if secret is None or access.gate not in _CURL_SETTINGS:
        return f"curl {url}"
    setting = f"printf '{_CURL_SETTINGS[access.gate]}' \"$(cat {secret})\" | curl -K -"
    return setting if access.gate == "link" else f"{setting} {url}"


_CURL_SETTINGS = {
    "bearer": 'header = "Authorization: Bearer %s"',
    "basic": 'user = "%s"',
    "link": 'url = "%s"',
}


def reach_command(status: TunnelStatus, access: Access) -> str:
    """How a gated tcp tunnel, which has no URL, is met."""
    secret = "FILE" if access.token_file is None else shlex.quote(str(access.token_file))
    return f"underpass reach {status.name} --token-file {secret}"


def _gate_words(access: Access) -> str:
    if access.gate == "oauth":
        return "oauth; you let clients in by underpass approve, or your provider does"
    if access.token_file is None:
        return access.gate
    return f"{access.gate}; the visitors' secret is in {access.token_file} (0600)"


def _layer_words(verdict: Mapping[str, Any]) -> str:
    by_status: dict[str, list[str]] = {}
    for layer, told in verdict["layers"].items():
        by_status.setdefault(told["status"], []).append(layer)
    return "; ".join(f"{', '.join(layers)} {status}" for status, layers in by_status.items())
