"""Holding a door open in a tailnet, as long as our connection to tailscaled lasts.

tailscaled takes our part of its serve configuration out when the connection ends, so nothing of
a tunnel can outlive the program that holds it, and nobody else's configuration is touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.tailscale.inbound import what_else
from underpass.drivers.tailscale.local_api import (
    INITIAL_STATE,
    LIMITED,
    Answered,
    Denied,
    LocalApi,
    Raced,
    Silent,
)
from underpass.drivers.tailscale.public import why_not_public
from underpass.drivers.tailscale.serving import Wanted, add, has, holder
from underpass.drivers.tailscale.state import Backend, Status, judge

LOOK_SECONDS: Final = 2.0
"""Time between two looks when nothing is told: a frozen tailscaled tells nothing."""

RACES: Final = 8
"""Tries to change a configuration that others change, too."""

RULES_SECONDS: Final = 60.0
"""Time between two looks at the tailnet's rules: their map is large, and rarely changes."""

OPERATOR_HINT: Final = "let this user do that: sudo tailscale set --operator=$USER"

Tell = Callable[[Observation], None]


class Refused(Exception):
    """It cannot be held; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class Session:
    """One door, held by one connection."""

    def __init__(
        self,
        api: LocalApi,
        wanted: Wanted,
        tell: Tell,
        *,
        join: Callable[[], Awaitable[None]] | None = None,
        greet: Callable[[], Awaitable[None]] | None = None,
        closed: bool = False,
    ) -> None:
        """``join`` makes the node join its tailnet; without, it must be in one. ``greet`` is called
        once when the door stands. ``closed``: open the door only when nothing else of this
        machine can be reached through the node."""
        self._api = api
        self._wanted = wanted
        self._tell = tell
        self._join = join
        self._greet = greet
        self._closed = closed
        self._id = ""
        self._is_live = False
        self._told: Observation | None = None
        self._error = ""
        self._cleared_at = 0.0

    async def hold(self) -> None:
        """Until cancelled. Raises ``Refused``, and ``Silent`` when tailscaled has ended."""
        async with self._api.news(INITIAL_STATE | LIMITED) as news:
            first = await anext(news, None)
            if first is None or not isinstance(first.get("SessionID"), str):
                raise Silent("it tells no news")
            self._id = first["SessionID"]
            self._heed(first)
            if self._join is not None:
                await self._translate(self._join())
            await self._follow(news)

    async def _follow(self, news: AsyncIterator[dict[str, Any]]) -> None:
        upcoming = asyncio.ensure_future(anext(news, None))
        try:
            while True:
                await self._look()
                done, _ = await asyncio.wait({upcoming}, timeout=LOOK_SECONDS)
                if done:
                    note = upcoming.result()
                    if note is None:
                        raise Silent("it has ended")
                    self._heed(note)
                    upcoming = asyncio.ensure_future(anext(news, None))
        finally:
            upcoming.cancel()
            with suppress(asyncio.CancelledError, Silent):
                await upcoming

    def _heed(self, note: dict[str, Any]) -> None:
        if message := note.get("ErrMessage"):
            self._error = str(message)[:300]

    async def _look(self) -> None:
        """See how the node is, see to our part, tell what is new."""
        try:
            status = await self._api.status()
        except Silent as silence:
            self._say(Faltering("node-silent", f"tailscaled does not answer: {silence}"))
            return
        found = self._judge(status)
        if isinstance(found, Refusal):
            raise Refused(found)
        if isinstance(found, Carrying):
            await self._translate(self._clear(status))
            await self._translate(self._see_to_it(status.me.name))
            if self._greet is not None and not self._is_live:
                await self._greet()
            self._is_live = True
            found = Carrying(self._wanted.url(status.me.name))
        if found is not None:
            self._say(found)

    def _judge(self, status: Status) -> Observation | None:
        if self._join is not None and not self._is_live and status.backend is Backend.NEEDS_LOGIN:
            if self._error:
                hint = "use another key, or another login-server"
                return Refusal("credential-refused", self._error, hint, fatal=True)
            if not status.auth_url:
                return None  # the key is on its way
        found = judge(status, was_live=self._is_live)
        if isinstance(found, Carrying):
            return why_not_public(status, self._wanted) or found
        return found

    async def _clear(self, status: Status) -> None:
        """See that nothing but our door can be reached; open the node to the tailnet then."""
        now = asyncio.get_running_loop().time()
        if not self._closed or (self._is_live and now - self._cleared_at < RULES_SECONDS):
            return
        rules = await self._api.rules()
        if other := what_else(rules, status.me.addresses or [], self._wanted.port):
            if self._is_live:
                await self._api.set_prefs(ShieldsUp=True)
            detail = f"the tailnet's rules let it reach more here than the tunnel: {other}"
            hint = f"allow tcp:{self._wanted.port} alone for this node's tag, or inbound=policy"
            raise Refused(Refusal("inbound-open", detail, hint, fatal=True))
        if not self._is_live:
            await self._api.set_prefs(ShieldsUp=False)
        self._cleared_at = now

    async def _see_to_it(self, host: str) -> None:
        section = self._wanted.section(host)
        for _ in range(RACES):
            config, mark = await self._api.serve_config()
            if has(config, self._id, section):
                return
            if other := holder(config, self._id, self._wanted.port):
                raise Refused(_taken(self._wanted.port, other))
            with suppress(Raced):
                await self._api.set_serve_config(add(config, self._id, section), mark)
        raise Refused(Refusal("config-raced", "others keep changing the serve configuration"))

    async def _translate(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except Denied as error:
            detail = f"tailscaled does not let this user change it: {error}"
            raise Refused(Refusal("not-allowed", detail, OPERATOR_HINT, fatal=True)) from None
        except Answered as error:
            if "already exists for port" in str(error):  # somebody was faster
                raise Refused(_taken(self._wanted.port, "a listener")) from None
            raise Refused(Refusal("node-refused", f"tailscaled says: {error}")) from None

    def _say(self, found: Observation) -> None:
        if found != self._told:
            self._told = found
            self._tell(found)


def _taken(port: int, other: str) -> Refusal:
    hint = "choose another port: --engine-option port=N, or end that one: tailscale serve status"
    return Refusal("port-taken", f"port {port} of this node is taken: {other}", hint)
