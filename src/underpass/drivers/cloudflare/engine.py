"""cloudflared as an engine: what is common to foreign programs, and three things besides.

- Where the name stays, a tunnel that lost every connection is started anew at once: cloudflared
  itself would wait ten seconds and more.
- A final no, which cloudflared would ask again for ever, ends it.
- One whose configuration at Cloudflare leads visitors past the gatehouse is ended for good, before
  another visitor can come.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from underpass.drivers.base import Counters, LinkPhase, LinkView
from underpass.drivers.cloudflare.desk import Desk
from underpass.drivers.cloudflare.identity import check_files
from underpass.drivers.cloudflare.metrics import ask_counters
from underpass.drivers.cloudflare.pages import read_page
from underpass.drivers.cloudflare.reading import FOREIGN, Reading
from underpass.drivers.cloudflare.settings import CloudflareSettings
from underpass.drivers.cloudflare.stranger import is_stopped_outside
from underpass.drivers.cloudflare.websocket_dial import WebSocketDials
from underpass.drivers.errors import EngineAway, EngineRefused
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.plans import Plan, Site
from underpass.gatehouse.ports import Carrier
from underpass.guard.secrets import Secret
from underpass.model.spec import TunnelSpec

if TYPE_CHECKING:
    from underpass.drivers.cloudflare.driver import CloudflareDriver

FINAL_SECONDS: Final = 3.0
"""How long a final no may turn out not to be one: some edges hear of a new tunnel later."""


class CloudflareEngine(ForeignEngine):
    """One tunnel by one cloudflared, for visitors over HTTP.

    Satisfies ``GuardsOutside``, ``ReadsPages`` and ``Counts``.
    """

    scheme = "https"

    def __init__(self, driver: CloudflareDriver, spec: TunnelSpec, site: Site) -> None:
        secret = Secret(secrets.token_hex(32))
        super().__init__(replace(driver, listen=self._listen, door_secret=secret), spec, site)
        self._reading = Reading(scheme=self.scheme)
        self._keeps_name = not CloudflareSettings.parse(site.options).is_quick
        self._desk: Desk | None = None
        self._final: asyncio.TimerHandle | None = None
        self._endings: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """See ``Engine``: what was changed at Cloudflare is undone as well."""
        self._forgive()
        desk, self._desk = self._desk, None
        try:
            await super().close()
        finally:
            if desk is not None:
                await desk.close()

    # ReadsPages

    def read_page(self, status: int, fields: Mapping[str, str], body: str) -> str:
        """See ``ReadsPages``."""
        return read_page(status, fields, body)

    # Counts

    async def counters(self) -> Counters:
        """See ``Counts``: since cloudflared was last started."""
        if not self._reading.metrics_port:
            raise EngineAway(self.name, "metrics-away", "it does not run")
        return await ask_counters(self._reading.metrics_port)

    # GuardsOutside

    async def guard(self) -> bool:
        """See ``GuardsOutside``: put Access on, where it is asked for."""
        if self._desk is None:
            return False
        return await self._desk.guard(lambda: is_stopped_outside(self.public_url))

    def passing_fields(self) -> list[tuple[bytes, bytes]]:
        """See ``GuardsOutside``."""
        return [] if self._desk is None else self._desk.fields()

    # Inside

    async def _prepare(self, carrier: Carrier, spec: TunnelSpec) -> Plan:
        """Lead the name here, too, before cloudflared can bring a visitor."""
        settings = CloudflareSettings.parse(self._site.options)
        await asyncio.to_thread(check_files, settings)
        plan = await super()._prepare(carrier, spec)
        if settings.uses_api:
            self._desk = await asyncio.to_thread(Desk.open, settings, self._site)
            await self._desk.route(rules_of(plan))
        return plan

    def _listen(self, line: str) -> Observation | None:
        """Read a line, and do what cannot wait."""
        if self.plan is not None:
            self._reading.door = rules_of(self.plan)[0]["service"]
        observation = self._reading.read(line)
        if isinstance(observation, Carrying):
            self._forgive()
        elif isinstance(observation, Faltering) and self._keeps_name:
            self.redial(observation.detail)
        elif isinstance(observation, Refusal) and observation.code == FOREIGN:
            self._start(self._end(observation))
        elif isinstance(observation, Refusal) and observation.fatal and self._final is None:
            loop = asyncio.get_running_loop()
            self._final = loop.call_later(FINAL_SECONDS, lambda: self._start(self._stop()))
        return observation

    def _forgive(self) -> None:
        if self._final is not None:
            self._final.cancel()
            self._final = None

    async def _stop(self) -> None:
        """End the program of the moment; whoever keeps it knows why."""
        self._final = None
        if self.program is not None:
            await self.program.stop()

    async def _end(self, refusal: Refusal) -> None:
        """End it for good, at once and without a visitor's grace."""
        if self.program is not None:
            await self.program.stop(grace=0.0)
        if self.public_url:
            await self.close()
            error = EngineRefused(self.name, refusal.code, refusal.detail, refusal.hint)
            self._say(LinkView(LinkPhase.ENDED, refusal.code, refusal.detail, error=error))

    def _start(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(ending, name="underpass: end cloudflared")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


class CloudflareTcpEngine(CloudflareEngine):
    """The same for byte streams, which visitors wrap in WebSockets. Satisfies ``DialsPublic``."""

    scheme = "tcp"

    def __init__(self, driver: CloudflareDriver, spec: TunnelSpec, site: Site) -> None:
        super().__init__(driver, spec, site)
        self._dials = WebSocketDials()

    async def dial_public(self) -> socket.socket:
        """See ``DialsPublic``: as ``cloudflared access tcp`` does, through the public name."""
        parts = urlsplit(self.public_url)
        if parts.hostname is None:
            raise ConnectionRefusedError("the tunnel has no name yet")
        return await self._dials.dial(parts.hostname, parts.port or 443)

    async def close(self) -> None:
        """See ``Engine``."""
        await self._dials.close()
        await super().close()


def rules_of(plan: Plan) -> list[dict[str, str]]:
    """Where the plan's own configuration sends visitors; the first rule is the gatehouse. Pure."""
    rules: list[dict[str, str]] = json.loads(plan.files[0].content)["ingress"]
    return rules
