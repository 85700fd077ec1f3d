"""What a relay remembers durably, and the small interface behind which it is kept.

One relay keeps it in SQLite (``sqlite_registry``); a fleet can keep it in any store with
create-if-absent and revision checks. Every implementation passes the same conformance suite. Lanes,
streams and links are never here: they live in memory only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from underpass.relay.protocol.records import Terms

REMEMBERED_INSTANCES: Final = 16
"""Past instances kept for a name: enough to tell every ghost of a minute of contention."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may hold at once."""

    names: int = 32
    ports: int = 16
    streams: int = 1024


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A connector's enrolled public key."""

    public: bytes
    """Raw Ed25519 public key."""
    label: str = ""
    enrolled_at: float = 0.0
    revoked_at: float | None = None
    limits: KeyLimits = KeyLimits()


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """An enrolment token, known only by its digest."""

    digest: bytes
    uses_left: int | None = 1
    """None: any number of keys may be enrolled with it."""
    expires_at: float | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class NameRecord:
    """A name, whom it belongs to, and the tunnel that was last opened under it."""

    name: str
    key: bytes
    """Raw public key of the owner."""
    chosen: bool
    """False: made up by the relay, and forgotten some time after its lease."""
    created_at: float = 0.0
    epoch: int = 0
    instance: bytes = b""
    """The instance to which ``epoch`` was given."""
    past: tuple[bytes, ...] = ()
    """Earlier instances, newest first, at most ``REMEMBERED_INSTANCES``."""
    terms: Terms | None = None
    """What the current instance said of its tunnel; None: nothing is exposed."""
    lease_end: float = 0.0
    """The hard end this relay enforces, unix seconds."""
    port: int | None = None
    """The public port given to the name: its own for good."""
    revision: int = 0
    """Rises with every stored change."""


@dataclass(eq=False)
class NameExists(Exception):
    """``create_name``: somebody has the name already."""

    name: str


@dataclass(eq=False)
class RevisionConflict(Exception):
    """``update_name``, ``delete_name``: the record changed since it was read, or is gone."""

    name: str


@dataclass(eq=False)
class PortTaken(Exception):
    """``create_name``, ``update_name``: another name has the port."""

    port: int


class Registry(Protocol):
    """Durable memory of one relay or one fleet.

    Whatever a method has returned from survives a crash of the process and of the machine. Any
    method raises ``RegistryUnavailable`` when the store cannot be reached or written; nothing has
    changed then.
    """

    async def key(self, public: bytes) -> KeyRecord | None:
        """The key, revoked or not, or None when it was never stored."""

    async def keys(self) -> tuple[KeyRecord, ...]:
        """All keys, in the order of their enrolment."""

    async def put_key(self, record: KeyRecord) -> None:
        """Store the key, in place of an earlier record of the same key."""

    async def put_token(self, record: TokenRecord) -> None:
        """Store the token, in place of an earlier one with the same digest."""

    async def spend_token(self, digest: bytes, now: float) -> bool:
        """Use the token once, if it exists, has not expired and has a use left."""

    async def name(self, name: str) -> NameRecord | None:
        """The name's record, or None."""

    async def names(self, key: bytes | None = None) -> tuple[NameRecord, ...]:
        """All names, or all names of a key, in alphabetical order."""

    async def find_instance(self, key: bytes, instance: bytes) -> NameRecord | None:
        """The name of ``key`` whose current instance is ``instance``."""

    async def create_name(self, record: NameRecord) -> NameRecord:
        """Store a new name; raises ``NameExists``, ``PortTaken``. Returns it with its revision."""

    async def update_name(self, record: NameRecord) -> NameRecord:
        """Store a change of the revision that was read.

        Raises ``RevisionConflict``, ``PortTaken``. Returns it with its new revision.
        """

    async def delete_name(self, record: NameRecord) -> None:
        """Forget the name in the revision that was read; raises ``RevisionConflict``."""

    async def changed(self) -> bool:
        """Whether another process has written since the last call."""

    async def close(self) -> None:
        """End; waits for what was begun. Idempotent."""
