"""All that one tunnel has at Cloudflare besides its cloudflared: the steps in their order.

The name's way first, then cloudflared, then a proof through the public name, and only then Access:
behind a login nobody could tell a broken tunnel from a closed door.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from underpass.drivers.cloudflare.access import AccessGuard
from underpass.drivers.cloudflare.api import CloudflareApi, Sleep
from underpass.drivers.cloudflare.changes import Change, Step, TunnelIdentity
from underpass.drivers.cloudflare.errors import AccessUnproved, TunnelUnknown
from underpass.drivers.cloudflare.identity import find_identity
from underpass.drivers.cloudflare.routing import DnsRoute, RemoteConfiguration
from underpass.drivers.cloudflare.settings import CloudflareSettings
from underpass.drivers.plans import Site
from underpass.guard.secrets import Secret, read_secret, write_private
from underpass.model.errors import UnderpassError

log = logging.getLogger(__name__)

Stranger = Callable[[], Awaitable[bool | None]]
"""Comes to the public name without any credential: whether Access stopped it (``stranger``)."""

LOOKS: Final = 15
LOOK_SECONDS: Final = 2.0
"""How often, and how far apart, Access is looked at: its edges hear of it within half a minute."""


class Desk:
    """The steps of one tunnel. ``close`` it in the end."""

    def __init__(
        self,
        api: CloudflareApi,
        identity: TunnelIdentity,
        settings: CloudflareSettings,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """``sleep`` is replaced by tests, which do not wait."""
        self._sleep = sleep
        self._api = api
        self._identity = identity
        self._settings = settings
        self._done: list[Step] = []
        self._guard: AccessGuard | None = None
        self._has_written = False

    @classmethod
    def open(cls, settings: CloudflareSettings, site: Site) -> Desk:
        """Read the tokens that the settings name; nothing is called yet.

        Raises ``TunnelUnknown`` and what reading a secret raises.
        """
        identity = find_identity(settings, site)
        if settings.account:
            identity = TunnelIdentity(settings.account, identity.tunnel)
        return cls(CloudflareApi(settings.api, _api_token(settings, site)), identity, settings)

    async def look(self, rules: list[dict[str, str]]) -> tuple[Change, ...]:
        """Everything that would change; nothing is changed."""
        steps: list[Step] = [*self._route_steps(rules)]
        if self._settings.access:
            steps.append(self._make_guard())
        changes: list[Change] = []
        for step in steps:
            changes += await step.look()
        return tuple(changes)

    async def route(self, rules: list[dict[str, str]]) -> None:
        """Lead the name here. Raises the errors of the API; ``close`` it then, too."""
        for step in self._route_steps(rules):
            await self._do(step)

    async def guard(self, stranger: Stranger) -> bool:
        """Put Access on, and see that a stranger is stopped before our gatehouse.

        Returns whether it is there now. To be called after a proof. Raises ``AccessUnproved``
        and ``SecretUnwritable``; ``close`` it then.
        """
        if not self._settings.access:
            return False
        self._guard = guard = self._make_guard()
        await self._do(guard)
        for _ in range(LOOKS):
            if await stranger():
                await asyncio.to_thread(self._write_token)
                return True
            await self._sleep(LOOK_SECONDS)
        raise AccessUnproved(self._settings.hostname, "strangers still come through")

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What a proof shows to pass Access; nothing where there is none."""
        return [] if self._guard is None else self._guard.fields()

    async def close(self) -> None:
        """Undo every step, the last first. Idempotent; what cannot be undone is logged."""
        done, self._done = self._done, []
        await asyncio.to_thread(self._forget_token)
        self._guard = None
        for step in reversed(done):
            try:
                await step.undo()
            except UnderpassError as error:
                log.warning("left at Cloudflare: %s", error.message)
        await self._api.__aexit__(None, None, None)

    def _route_steps(self, rules: list[dict[str, str]]) -> tuple[Step, ...]:
        settings, identity = self._settings, self._identity
        return (
            RemoteConfiguration(self._api, identity, settings.hostname, rules),
            DnsRoute(self._api, identity, settings.hostname, settings.zone),
        )

    def _make_guard(self) -> AccessGuard:
        settings = self._settings
        return AccessGuard(self._api, self._identity.account, settings.hostname, settings.access)

    def _write_token(self) -> None:
        """Write the service token as two header fields, for clients that follow no login."""
        path = self._settings.access_token_file
        if path:
            lines = [name + b": " + text + b"\n" for name, text in self.fields()]
            write_private(Path(path), b"".join(lines))
            self._has_written = True

    def _forget_token(self) -> None:
        if self._has_written:
            Path(self._settings.access_token_file).unlink(missing_ok=True)
            self._has_written = False

    async def _do(self, step: Step) -> None:
        for change in await step.look():
            log.info("cloudflare: %s", change)
        self._done.append(step)
        await step.apply()


def _api_token(settings: CloudflareSettings, site: Site) -> Secret:
    if settings.api_token_file:
        return read_secret(Path(settings.api_token_file))
    text = site.environment.get(settings.api_token_variable, "").strip()
    if not text or not text.isprintable() or not text.isascii():
        raise TunnelUnknown(f"the variable {settings.api_token_variable} holds no API token")
    return Secret(text)
