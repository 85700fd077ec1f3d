"""Talking to a tailscaled over its Unix socket: JSON, one call each, and the stream of its news.

What may be asked is decided by tailscaled from the user who asks: root, the user it runs as, and
whom ``tailscale set --operator`` names may change it, others may only look.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from underpass.drivers.tailscale.dialling import HOST, dial
from underpass.drivers.tailscale.serving import Config
from underpass.drivers.tailscale.state import Status, read_status

CALL_SECONDS: Final = 4.0
"""A tailscaled that runs answers within milliseconds."""

MAX_LINE: Final = 64 * 1024 * 1024
# A map of 10,000 nodes has some 20 MiB, and comes as one line.

INITIAL_STATE: Final = 2
INITIAL_MAP: Final = 8
LIMITED: Final = 256
# Bits of the stream of news: with the first of it the state and our session's id; with the first
# the map of the tailnet, too; not more than one map each few seconds.

_HEADERS: Final = {"Tailscale-Cap": "1"}


class Silent(Exception):
    """Nobody answers at the socket, or not in time, or not as tailscaled does."""


class Denied(Exception):
    """tailscaled does not let this user do that."""


class Raced(Exception):
    """Somebody else changed the serve configuration meanwhile."""


class Answered(Exception):
    """tailscaled could not do it; the text says why."""


class LocalApi:
    """One tailscaled. ``close`` it in the end."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(uds=self.path),
            base_url=f"http://{HOST}/localapi/v0/",
            headers=_HEADERS,
            timeout=CALL_SECONDS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the socket. Idempotent."""
        await self._client.aclose()

    # Looking

    async def status(self, *, peers: bool = False) -> Status:
        """How the node is. Raises ``Silent`` and ``Denied``."""
        answer = await self._ask("GET", f"status?peers={'true' if peers else 'false'}")
        try:
            return read_status(answer.content)
        except ValueError as error:
            raise Silent(f"{self.path} is no tailscaled: {error}") from None

    async def serve_config(self) -> tuple[Config | None, str]:
        """The serve configuration, with the mark that ``set_serve_config`` wants."""
        answer = await self._ask("GET", "serve-config")
        return self._read(answer.content) or None, answer.headers.get("etag", "")

    @asynccontextmanager
    async def news(self, mask: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What happens from now on, an object each; ends with tailscaled. Raises ``Silent``."""
        request = self._client.build_request(
            "GET", f"watch-ipn-bus?mask={mask}", timeout=httpx2.Timeout(CALL_SECONDS, read=None)
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise Silent(_why(error)) from None
        try:
            if answer.status_code >= 400:
                await answer.aread()
                self._judge(answer)
            yield self._lines(answer)
        finally:
            await answer.aclose()

    async def _lines(self, answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
        rest = bytearray()
        try:
            async for part in answer.aiter_raw():
                *lines, last = part.split(b"\n")
                for line in lines:
                    rest += line
                    if rest.strip():
                        yield self._read(bytes(rest)) or {}
                    rest.clear()
                rest += last
                if len(rest) > MAX_LINE:
                    raise Silent("one of its lines is too long")
        except httpx2.HTTPError as error:
            raise Silent(_why(error)) from None

    async def rules(self) -> list[dict[str, Any]]:
        """The tailnet's rules for what may come in here, as they are now."""
        async with self.news(INITIAL_STATE | INITIAL_MAP) as news:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    first = await anext(news, None) or {}
            except TimeoutError:
                raise Silent("it does not tell its rules") from None
        found = (first.get("NetMap") or {}).get("PacketFilter")
        return [rule for rule in found or () if isinstance(rule, dict)]

    # Changing

    async def set_serve_config(self, config: Config, mark: str) -> None:
        """Put ``config`` in place of the one that ``mark`` came with. Raises ``Raced``, too."""
        await self._ask("POST", "serve-config", config, {"If-Match": mark})

    async def set_prefs(self, **changes: object) -> None:
        """Change preferences, each named as tailscaled names it."""
        masked = {**changes, **{f"{name}Set": True for name in changes}}
        await self._ask("PATCH", "prefs", masked)

    async def prefs(self) -> dict[str, Any]:
        """The preferences, each named as tailscaled names it."""
        answer = await self._ask("GET", "prefs")
        return self._read(answer.content) or {}

    async def rebind(self) -> None:
        """Open new sockets, and look for endpoints anew."""
        for action in ("rebind", "restun"):
            await self._ask("POST", f"debug?action={action}")

    async def start(self, auth_key: str, prefs: Mapping[str, object]) -> None:
        """Start the node with these preferences, and the key it may join with."""
        await self._ask("POST", "start", {"AuthKey": auth_key, "UpdatePrefs": dict(prefs)})

    async def begin_login(self) -> None:
        """Sign in: with the key that ``start`` got, else by an ``AuthURL`` in the status."""
        await self._ask("POST", "login-interactive")

    async def logout(self) -> None:
        """Leave the tailnet."""
        await self._ask("POST", "logout")

    async def ping(self, address: str, kind: str = "disco") -> dict[str, Any]:
        """Ping a peer by its tailnet address; ``Err`` in the answer says why not."""
        answer = await self._ask("POST", f"ping?ip={address}&type={kind}")
        return self._read(answer.content) or {}

    # Visiting

    async def dial(self, host: str, port: int) -> socket.socket:
        """A connection that this node makes to ``host`` in its tailnet, as one of its programs.

        The socket does not block. Raises ``OSError``.
        """
        return await dial(self.path, host, port)

    # Common

    async def _ask(
        self,
        method: str,
        target: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        try:
            answer = await self._client.request(method, target, json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise Silent(_why(error)) from None
        self._judge(answer)
        return answer

    def _judge(self, answer: httpx2.Response) -> None:
        if answer.status_code < 400:
            return
        why = answer.text[:300].strip()
        try:
            why = str(json.loads(why)["error"])
        except (ValueError, KeyError, TypeError):
            pass  # older ones answer in plain words
        if answer.status_code in (401, 403):
            raise Denied(why)
        if answer.status_code == 412:
            raise Raced(why)
        raise Answered(why)

    def _read(self, body: bytes) -> dict[str, Any] | None:
        try:
            found = json.loads(body)
        except ValueError:
            raise Silent(f"{self.path} is no tailscaled: it is no JSON") from None
        return found if isinstance(found, dict) else None


def _why(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return f"it does not answer within {CALL_SECONDS:g} s"
    # What a system call says begins with its number, which tells nobody anything.
    return re.sub(r"\A\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
