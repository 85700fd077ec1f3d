"""Names: how random ones are made, which may be chosen, and what their owners can do with them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from underpass.model.errors_relay import NameNotYours
from underpass.model.errors_run import NoSuchTunnel
from underpass.model.errors_spec import NameInvalid
from underpass.model.rules import check_name
from underpass.relay.server.registry import NameRecord, Registry, RevisionConflict

RANDOM_BYTES: Final = 10
"""80 bits (faults, T16): 16 characters of base32, which are all DNS-safe and need no padding."""

RESERVED: Final = frozenset(
    # Labels to which programs on a network give a meaning of their own; whoever held them under
    # the relay's domain could speak for all of it.
    {
        "autoconfig",
        "autodiscover",
        "broadcasthost",
        "imap",
        "isatap",
        "localhost",
        "mail",
        "mta-sts",
        "smtp",
        "wpad",
        "www",
    }
)


def random_name(entropy: Callable[[int], bytes]) -> str:
    """A fresh name of 80 bits, in lower-case base32; ``entropy`` is ``secrets.token_bytes``."""
    return base64.b32encode(entropy(RANDOM_BYTES)).decode().lower()


def check_chosen(name: str) -> None:
    """Raise ``NameInvalid`` unless a key may choose ``name``."""
    check_name(name)
    if name in RESERVED:
        raise NameInvalid(name=name, why="it has a meaning of its own in many networks")


async def release_name(registry: Registry, name: str, owner: bytes | None = None) -> None:
    """Give a name up: anybody may claim it then. A running tunnel under it ends.

    ``owner``: only if the name belongs to this key (None: the relay's operator asks). Raises
    ``NoSuchTunnel``, ``NameNotYours``.
    """
    while True:
        record = await _owned(registry, name, owner)
        try:
            return await registry.delete_name(record)
        except RevisionConflict:
            continue


async def transfer_name(
    registry: Registry, name: str, to: bytes, owner: bytes | None = None
) -> NameRecord:
    """Give a name to another key. A running tunnel of the old one ends; the epochs go on.

    Raises as ``release_name`` does.
    """
    while True:
        record = await _owned(registry, name, owner)
        if record.key == to:
            return record
        past = (record.instance, *record.past) if record.instance else record.past
        given = replace(
            record, key=to, chosen=True, instance=b"", past=past, terms=None, lease_end=0.0
        )
        try:
            return await registry.update_name(given)
        except RevisionConflict:
            continue


async def _owned(registry: Registry, name: str, owner: bytes | None) -> NameRecord:
    record = await registry.name(name)
    if record is None:
        raise NoSuchTunnel(name)
    if owner is not None and record.key != owner:
        raise NameNotYours(name)
    return record
