"""Looking at a tailnet from one of its nodes, and doing what can be done from there."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.errors import EngineMissing
from underpass.drivers.mesh import MeshUnmended, MeshView, Step
from underpass.drivers.plans import Site
from underpass.drivers.process import minimal, run_to_end
from underpass.drivers.tailscale import mesh
from underpass.drivers.tailscale.local_api import Answered, Denied, LocalApi, Silent
from underpass.drivers.tailscale.mesh import Network, Pong
from underpass.drivers.tailscale.session import OPERATOR_HINT
from underpass.drivers.tailscale.settings import TailscaleSettings
from underpass.drivers.tailscale.state import Backend, Machine
from underpass.guard.secrets import Secret

PING_SECONDS: Final = 5.0
PINGS: Final = 3
"""The first ping to a peer may be lost while the two look for a way."""

VISIT_SECONDS: Final = 10.0
NETCHECK_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 0.5
MAX_VISITED: Final = 64 * 1024


async def look(site: Site, peers: Sequence[str], visits: Sequence[str]) -> MeshView:
    """See ``MendsMesh``."""
    settings = TailscaleSettings.parse(site.options)
    async with LocalApi(settings.socket) as api:
        try:
            status = await api.status(peers=True)
        except (Silent, Denied, Answered) as error:
            return mesh.without_daemon(settings.socket, str(error))
        wanted = mesh.chosen(status, peers) if status.backend is Backend.RUNNING else []
        machines = [each for each in wanted if isinstance(each, Machine)]
        pinged = await asyncio.gather(*(_ping(api, each) for each in machines))
        pongs = {each.name: pong for each, pong in zip(machines, pinged, strict=True)}
        network, visited = None, {}
        if status.backend is Backend.RUNNING:
            visited = {url: await _visit(api, url) for url in visits}
            if not all(pong.ok for pong in pongs.values()):
                network = await _check_network(settings.socket, site)
        now = datetime.now(UTC)
        return mesh.view(status, wanted, pongs, network=network, visits=visited, now=now)


async def mend(
    step: Step, site: Site, *, key: Secret | None, seconds: float, say: Callable[[str], None]
) -> None:
    """See ``MendsMesh``."""
    settings = TailscaleSettings.parse(site.options)
    async with LocalApi(settings.socket) as api:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _do(step, api, key, say)
        except Denied as error:
            raise MeshUnmended(step.what, str(error), OPERATOR_HINT) from None
        except (Silent, Answered) as error:
            raise MeshUnmended(step.what, str(error)) from None


async def _do(step: Step, api: LocalApi, key: Secret | None, say: Callable[[str], None]) -> None:
    if step.code == mesh.SIGN_IN:
        await _sign_in(api, key, say)
    elif step.code == mesh.SWITCH_ON:
        await api.set_prefs(WantRunning=True)
        await _until_running(api)
    elif step.code == mesh.WAIT:
        await _until_running(api)
    elif step.code == mesh.REBIND:
        await api.rebind()
    else:
        raise MeshUnmended(step.what, "this has to be done there, by somebody")


async def _sign_in(api: LocalApi, key: Secret | None, say: Callable[[str], None]) -> None:
    prefs = {**await api.prefs(), "WantRunning": True, "LoggedOut": False}
    await api.start("" if key is None else key.reveal(), prefs)
    await api.begin_login()
    told = ""
    async with aclosing(_states(api)) as states:
        async for state, url in states:
            if state is Backend.RUNNING:
                return
            if url and url != told and key is None:
                told = url
                say(f"sign in here: {url}")


async def _until_running(api: LocalApi) -> None:
    async with aclosing(_states(api)) as states:
        async for state, _ in states:
            if state is Backend.RUNNING:
                return


async def _states(api: LocalApi) -> AsyncGenerator[tuple[Backend, str], None]:
    """The node's state, and where to sign in, again and again."""
    while True:
        status = await api.status()
        yield status.backend, status.auth_url
        await asyncio.sleep(AGAIN_SECONDS)


async def _ping(api: LocalApi, peer: Machine) -> Pong:
    why = "it has no address"
    for address in (peer.addresses or [])[:1]:
        for _ in range(PINGS):
            try:
                async with asyncio.timeout(PING_SECONDS):
                    answer = await api.ping(address)
            except (TimeoutError, Silent):
                why = f"no answer within {PING_SECONDS:g} s"
                if not peer.online:
                    break  # nobody expects one
                continue
            except (Denied, Answered) as error:
                return Pong(False, str(error))
            if not answer.get("Err"):
                return Pong(True, _way(answer))
            why = str(answer["Err"])[:200]
            await asyncio.sleep(AGAIN_SECONDS)
    return Pong(False, why)


def _way(answer: dict[str, object]) -> str:
    seconds = answer.get("LatencySeconds")
    took = f" in {float(seconds) * 1000:.0f} ms" if isinstance(seconds, int | float) else ""
    if endpoint := answer.get("Endpoint"):
        return f"reached directly at {endpoint}{took}"
    return f"reached by the relay {answer.get('DERPRegionCode') or '?'}{took}"


async def _visit(api: LocalApi, url: str) -> Pong:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    target = parts.path or "/"
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(VISIT_SECONDS):
            made = await api.dial(host, port)
            reader, writer = await asyncio.open_connection(sock=made, limit=MAX_VISITED)
            try:
                writer.write(request.encode("ascii"))
                words = (await reader.readline()).decode("latin-1").split(" ")
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Pong(False, f"no answer within {VISIT_SECONDS:g} s")
    except (OSError, ValueError) as error:
        return Pong(False, str(error) or "the connection was cut")
    if len(words) < 2 or not words[1].isdigit():
        return Pong(False, "what answers does not speak HTTP")
    return Pong(int(words[1]) < 500, f"answered with status {words[1]}")


async def _check_network(socket: str, site: Site) -> Network | None:
    """What the program says of this network; None where there is no program."""
    program = shutil.which("tailscale", path=site.environment.get("PATH"))
    if program is None:
        return None
    words = (program, f"--socket={socket}", "netcheck", "--format=json-line")
    try:
        _, lines = await run_to_end(
            words,
            environment=minimal(site.environment),
            directory=site.directory,
            seconds=NETCHECK_SECONDS,
        )
        told = json.loads(next(line for line in lines if line.startswith("{")))
        return Network(bool(told["UDP"]), bool(told["PreferredDERP"]))
    except (EngineMissing, StopIteration, ValueError, KeyError, TypeError):
        return None
