"""A tailscaled as an engine: one that somebody else runs, or one of the tunnel's own."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.keeper import Tell
from underpass.drivers.observations import Observation, Refusal
from underpass.drivers.plans import Plan, Site
from underpass.drivers.tailscale.driver import (
    NODE_SOCKET,
    TailscaleDriver,
    make_wanted,
)
from underpass.drivers.tailscale.local_api import Answered, Denied, LocalApi, Silent
from underpass.drivers.tailscale.session import Refused, Session
from underpass.drivers.tailscale.settings import TailscaleSettings
from underpass.guard.secrets import Secret, read_secret
from underpass.model.errors import UnderpassError
from underpass.model.spec import TunnelSpec

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 0.05
"""Between two tries whether a new daemon has its socket: nothing tells of that."""

LOGOUT_SECONDS: Final = 3.0
GREET_SECONDS: Final = 3.0


def make(
    driver: TailscaleDriver, spec: TunnelSpec, site: Site, settings: TailscaleSettings
) -> ForeignEngine:
    """The engine for these settings; nothing is started yet."""
    if settings.is_private:
        kind = PrivateServe if settings.share == "serve" else PrivateNode
        return kind(spec, site, settings)
    return (
        RunningServe(driver, spec, site)
        if settings.share == "serve"
        else ForeignEngine(driver, spec, site)
    )


class _SeenFromATailnet:
    """Satisfies ``DialsPublic``: the public name means something only in the tailnet, so proofs
    come from a node of it."""

    _site: Site
    public_url: str

    async def dial_public(self) -> socket.socket:
        """See ``DialsPublic``."""
        parts = urlsplit(self.public_url)
        if not parts.hostname:
            raise ConnectionRefusedError("the tunnel has no name in the tailnet yet")
        async with LocalApi(self.witness) as api:
            return await api.dial(
                parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            )

    @property
    def witness(self) -> str:
        """The socket of the node from which proofs come."""
        settings = TailscaleSettings.parse(self._site.options)
        if settings.witness:
            return settings.witness
        return str(self._site.directory / NODE_SOCKET) if settings.is_private else settings.socket


class RunningServe(_SeenFromATailnet, ForeignEngine):
    """A door on a tailscaled that somebody else runs. Satisfies ``DialsPublic``."""


class PrivateNode(ForeignEngine):
    """A node of the tunnel's own, in userspace, without root; it leaves the tailnet with it."""

    def __init__(self, spec: TunnelSpec, site: Site, settings: TailscaleSettings) -> None:
        self.kept_by = _Attended(self)
        """The driver that the program is kept with."""
        super().__init__(self.kept_by, spec, site)
        self._settings = settings
        self._socket = site.directory / NODE_SOCKET

    async def attend(self, plan: Plan, tell: Tell) -> None:
        """As long as its program runs: let it join, hold the door; see ``Watches``."""
        settings, site = self._settings, self._here
        is_live = False

        def say(found: Observation) -> None:
            nonlocal is_live
            is_live = is_live or not isinstance(found, Refusal)
            tell(found)

        async with LocalApi(self._socket) as api:
            await _answering(api)
            session = Session(
                api,
                make_wanted(settings, self._spec, site),
                say,
                join=lambda: self._join(api),
                greet=lambda: self._greet(api),
                closed=settings.inbound == "closed",
            )
            try:
                await session.hold()
            except Refused as refused:
                say(refused.refusal)
            except UnderpassError as error:
                say(Refusal(error.code, error.message, error.hint or "", fatal=True))
            except (Denied, Answered) as error:
                say(Refusal("node-refused", str(error), fatal=True))
            except Silent as silence:
                log.debug("tailscaled has ended, or answers no more: %s", silence)
        # It does not end by itself, and without a door it is good for nothing.
        if self.program is not None:
            await self.program.stop()

    async def close(self) -> None:
        """See ``Engine``; a node that is not kept leaves the tailnet."""
        if self.program is not None and not self._settings.state:
            with suppress(TimeoutError, Silent, Denied, Answered):
                async with asyncio.timeout(LOGOUT_SECONDS), LocalApi(self._socket) as api:
                    await api.logout()
        await super().close()
        for path in (self._socket, Path(f"{self._socket}.lock")):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @property
    def _here(self) -> Site:
        """The site with its door, which is open as long as the program runs."""
        return self._site if self._door is None else self._site.at(self._door.address)

    async def _join(self, api: LocalApi) -> None:
        settings = self._settings
        key = await asyncio.to_thread(_read_key, settings, self._site)
        prefs: dict[str, object] = {
            "WantRunning": True,
            "Hostname": settings.hostname or self._site.name,
            "AdvertiseTags": list(settings.tags) or None,
            "CorpDNS": False,
            "RouteAll": False,
            # Nothing may come in before it is known what the tailnet would let in.
            "ShieldsUp": settings.inbound == "closed",
        }
        if settings.login_server:
            prefs["ControlURL"] = settings.login_server
        await api.start("" if key is None else key.reveal(), prefs)
        if not (await api.status()).has_key:
            await api.begin_login()

    async def _greet(self, api: LocalApi) -> None:
        """Reach out to the witness first: the way back is known to it then. Asked by a node that
        has just come, a peer answers at once; the other way round the first packets are lost."""
        if not self._settings.witness:
            return
        with suppress(TimeoutError, Silent, Denied, Answered):
            async with asyncio.timeout(GREET_SECONDS), LocalApi(self._settings.witness) as other:
                for address in ((await other.status()).me.addresses or [])[:1]:
                    await api.ping(address, "TSMP")


class PrivateServe(_SeenFromATailnet, PrivateNode):
    """The same, met in the tailnet. Satisfies ``DialsPublic``."""


class _Attended(TailscaleDriver):
    """The driver as one private node's program is kept with. Satisfies ``Watches``."""

    def __init__(self, engine: PrivateNode) -> None:
        self._engine = engine

    def read(self, line: str) -> Observation | None:
        """Nothing: what tailscaled logs may quote anybody, and everything is asked for."""
        return None

    async def watch(self, plan: Plan, tell: Tell) -> None:
        """See ``Watches``."""
        await self._engine.attend(plan, tell)


async def _answering(api: LocalApi) -> None:
    """Wait until it does."""
    while True:
        with suppress(Silent, Answered):
            await api.status()
            return
        await asyncio.sleep(AGAIN_SECONDS)


def _read_key(settings: TailscaleSettings, site: Site) -> Secret | None:
    path = settings.auth_key_file
    return read_secret(Path(path)) if path else settings.auth_key(site)
