"""Which connectors may link: enrolled keys, authorised keys, and the tokens that enrol.

All keys are held in memory, so that a link is judged without waiting; the registry and the
authorised-keys file are read again when they change. A key that was revoked in the registry stays
revoked, whatever the file says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from underpass.guard.secrets import (
    Secret,
    hash_token,
    is_token,
    new_token,
    read_secret,
    write_secret,
)
from underpass.model.errors_relay import KeyRevoked
from underpass.relay.protocol.refusals import EnrolmentRefused
from underpass.relay.server.authorised_keys import read_authorised_keys
from underpass.relay.server.errors import KeyNotFound
from underpass.relay.server.key_text import PREFIX, fingerprint, parse_key
from underpass.relay.server.registry import KeyLimits, KeyRecord, Registry, TokenRecord

SHORTEST_PREFIX: Final = 8
"""Characters of a fingerprint that name a key: 48 bits, and it must be the only one."""


class Keys:
    """The keys of one relay. ``load`` before the first use."""

    def __init__(
        self,
        registry: Registry,
        now: Callable[[], float],
        *,
        limits: KeyLimits,
        relay: str = "this relay",
        authorised: Path | None = None,
    ) -> None:
        self._registry = registry
        self._now = now
        self._limits = limits
        self._relay = relay
        self._path = authorised
        self._enrolled: dict[bytes, KeyRecord] = {}
        self._authorised: dict[bytes, KeyRecord] = {}
        self._stamp: tuple[int, int, int] | None = None

    async def load(self) -> None:
        """Read everything. Raises ``AuthorisedKeysWrong``, ``OSError``, ``RegistryUnavailable``;
        what was known before is kept then."""
        stamp = self._file_stamp()
        authorised = await asyncio.to_thread(self._read_file)
        enrolled = {record.public: record for record in await self._registry.keys()}
        self._stamp, self._authorised, self._enrolled = stamp, authorised, enrolled

    def file_changed(self) -> bool:
        """Whether the authorised-keys file is another than the one that was read."""
        return self._file_stamp() != self._stamp

    def find(self, public: bytes) -> KeyRecord | None:
        """The key, perhaps revoked; None: this relay does not know it."""
        enrolled = self._enrolled.get(public)
        if enrolled is not None and enrolled.revoked_at is not None:
            return enrolled
        return self._authorised.get(public) or enrolled

    def is_good(self, public: bytes) -> bool:
        """Whether the key may hold tunnels now."""
        record = self.find(public)
        return record is not None and record.revoked_at is None

    def __len__(self) -> int:
        return len(self._authorised.keys() | self._enrolled.keys())

    async def enrol(self, public: bytes, token: str, label: str = "") -> KeyRecord:
        """Take a key on in exchange for one use of a token.

        Raises ``EnrolmentRefused``, ``KeyRevoked`` (a token does not undo a revocation).
        """
        known = self.find(public)
        if known is not None:
            if known.revoked_at is not None:
                raise KeyRevoked(self._relay)
            return known
        now = self._now()
        if not is_token(token) or not await self._registry.spend_token(hash_token(token), now):
            raise EnrolmentRefused(fingerprint(public))
        record = KeyRecord(public, label, now, limits=self._limits)
        await self._registry.put_key(record)
        self._enrolled[public] = record
        return record

    def _read_file(self) -> dict[bytes, KeyRecord]:
        return {} if self._path is None else read_authorised_keys(self._path, self._limits)

    def _file_stamp(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


async def ensure_token_file(registry: Registry, path: Path) -> None:
    """A 0600 file with a token that enrols any number of keys; made when it is not there.

    The registry holds the digest alone. Raises what ``read_secret`` raises for a loose file.
    """
    token = await asyncio.to_thread(_read_or_make, path)
    await registry.put_token(TokenRecord(hash_token(token.reveal()), None, None, "token file"))


async def new_enrolment_token(
    registry: Registry, *, uses: int | None = 1, expires_at: float | None = None, label: str = ""
) -> Secret:
    """Make a token for the operator to hand out; it is shown once and kept as a digest."""
    token = new_token()
    await registry.put_token(TokenRecord(hash_token(token.reveal()), uses, expires_at, label))
    return token


async def revoke_key(registry: Registry, text: str, now: float) -> KeyRecord:
    """Revoke the key that ``text`` names: whole, as fingerprint, or as the start of one.

    A running relay cuts its links within seconds. A key of the authorised-keys file that never
    enrolled can be revoked by its whole text. Raises ``KeyNotFound``. Idempotent.
    """
    record = await find_key(registry, text)
    if record.revoked_at is None:
        record = replace(record, revoked_at=now)
        await registry.put_key(record)
    return record


async def find_key(registry: Registry, text: str) -> KeyRecord:
    """The one key that ``text`` names; see ``revoke_key``."""
    keys = await registry.keys()
    if text.startswith(PREFIX):
        try:
            public = parse_key(text)
        except ValueError:
            raise KeyNotFound(text) from None
        known = next((key for key in keys if key.public == public), None)
        return known or KeyRecord(public, label="authorised")
    wanted = text.removeprefix("SHA256:")
    if len(wanted) < SHORTEST_PREFIX:
        raise KeyNotFound(text)
    found = [
        key for key in keys if fingerprint(key.public).removeprefix("SHA256:").startswith(wanted)
    ]
    if len(found) != 1:
        raise KeyNotFound(text)
    return found[0]


def _read_or_make(path: Path) -> Secret:
    if not path.exists():
        try:
            write_secret(path, new_token(), replace=False)
        except FileExistsError:
            pass  # another process made it: theirs holds
    return read_secret(path)
