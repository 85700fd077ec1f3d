"""The agent's own API on loopback: what it thinks it carries, and what it counted.

Asked, and not believed: a URL from here is proved like any other. Who listens there is found by
process id, so that no other agent's API is taken for this one's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec
import psutil

from underpass.drivers.base import Counters
from underpass.drivers.ngrok.reading import as_visited, is_public_url

SECONDS: Final = 2.0
MAX_ANSWER: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Carried:
    """One tunnel in the agent's books."""

    url: str
    exposes: str
    counters: Counters


@dataclass(frozen=True, slots=True)
class AgentView:
    """What one agent says of itself."""

    online: bool | None
    """Whether its session stands; None from agents that do not say (2.x)."""
    carried: tuple[Carried, ...]


class LocalApi:
    """One agent's API."""

    def __init__(self, *ports: int) -> None:
        """``ports`` are those that the process listens on; one of them is its API's."""
        self.ports = tuple(sorted(ports))

    def __repr__(self) -> str:
        return f"LocalApi({self.ports})"

    @classmethod
    def of_process(cls, pid: int) -> LocalApi | None:
        """The API of a process of this user; None when it listens nowhere on loopback."""
        ports = set()
        with suppress(psutil.Error):
            for each in psutil.Process(pid).net_connections("inet"):
                if each.status == psutil.CONN_LISTEN and each.laddr.ip in {"127.0.0.1", "::1"}:
                    ports.add(each.laddr.port)
        return cls(*ports) if ports else None

    async def look(self) -> AgentView:
        """Ask. Raises ``OSError`` when nothing answers as an agent does."""
        failure = OSError("it listens nowhere")
        for port in self.ports:
            try:
                return await self._look_at(port)
            except OSError as error:
                failure = error
        raise failure

    async def _look_at(self, port: int) -> AgentView:
        async with self._client(port) as client:
            endpoints = await _get(client, "/api/endpoints")
            tunnels = None if endpoints else await _get(client, "/api/tunnels")
            if endpoints is None and tunnels is None:
                raise OSError("no agent's API answers there")
            online = await _ask_online(client)
        return AgentView(online, read_books(endpoints or tunnels or {}))

    async def is_online(self) -> bool | None:
        """Whether its session stands; None from agents that do not say. Raises ``OSError``."""
        return (await self.look()).online

    def _client(self, port: int) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            timeout=SECONDS,
            trust_env=False,
            headers={"Accept": "application/json"},
        )


def read_books(answer: dict[str, Any]) -> tuple[Carried, ...]:
    """What ``/api/endpoints`` or the older ``/api/tunnels`` says; what is strange is left out."""
    entries = answer.get("endpoints") or answer.get("tunnels")
    found = []
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        url = str(entry.get("url") or entry.get("public_url") or "").rstrip("/")
        if is_public_url(url):
            upstream, config = entry.get("upstream"), entry.get("config")
            exposes = (
                upstream.get("url")
                if isinstance(upstream, dict)
                else config.get("addr")
                if isinstance(config, dict)
                else ""
            )
            found.append(
                Carried(as_visited(url), str(exposes or "")[:200], _count(entry.get("metrics")))
            )
    return tuple(found)


def _count(metrics: object) -> Counters:
    """No bytes: agents do not count them."""
    return Counters(connections=_number(metrics, "conns"), requests=_number(metrics, "http"))


def _number(metrics: object, kind: str) -> int:
    part = metrics.get(kind) if isinstance(metrics, dict) else None
    count = part.get("count") if isinstance(part, dict) else None
    return count if isinstance(count, int) and count > 0 else 0


async def _ask_online(client: httpx2.AsyncClient) -> bool | None:
    status = await _get(client, "/api/status")
    return None if status is None else status.get("status") == "online"


async def _get(client: httpx2.AsyncClient, path: str) -> dict[str, Any] | None:
    """The object at ``path``; None where there is none."""
    content = bytearray()
    try:
        async with client.stream("GET", path) as response:
            if response.status_code != 200:
                return None
            async for part in response.aiter_bytes():
                content += part
                if len(content) > MAX_ANSWER:
                    return None
        answer = msgspec.json.decode(bytes(content))
    except httpx2.HTTPError as error:
        raise OSError(str(error)) from error
    except (msgspec.DecodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
