"""The registry of one machine: a SQLite file in WAL with ``synchronous=FULL``, one writer thread.

FULL in WAL mode fsyncs the log at every commit, so an epoch that was returned is on disk.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from underpass.model.errors_run import ForeignOwner, LooseMode, NotAPlainFile
from underpass.relay.protocol.records import Terms
from underpass.relay.server.errors import RegistryUnavailable
from underpass.relay.server.registry import (
    REMEMBERED_INSTANCES,
    KeyLimits,
    KeyRecord,
    NameExists,
    NameRecord,
    PortTaken,
    RevisionConflict,
    TokenRecord,
)
from underpass.relay.server.schema import migrate
from underpass.relay.server.writer import BUSY_SECONDS, Writer

_terms = msgspec.msgpack.Decoder(Terms)
_past = msgspec.msgpack.Decoder(tuple[bytes, ...])
_encode = msgspec.msgpack.Encoder().encode

_NAME: Final = (
    "SELECT name, key, chosen, created_at, epoch, instance, past, revision, terms, ends_at, port"
    " FROM names LEFT JOIN leases USING (name) LEFT JOIN ports USING (name)"
)
_KEY: Final = "SELECT public, label, enrolled_at, revoked_at, names, ports, streams FROM keys"


class SqliteRegistry:
    """``Registry`` in one file; several processes may have it open. Made by ``open_registry``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._seen_version: int | None = None

    async def key(self, public: bytes) -> KeyRecord | None:
        def work(db: sqlite3.Connection) -> KeyRecord | None:
            row = db.execute(f"{_KEY} WHERE public = ?", (public,)).fetchone()
            return _key_record(row) if row else None

        return await self._writer.run(work)

    async def keys(self) -> tuple[KeyRecord, ...]:
        def work(db: sqlite3.Connection) -> tuple[KeyRecord, ...]:
            return tuple(map(_key_record, db.execute(f"{_KEY} ORDER BY enrolled_at, public")))

        return await self._writer.run(work)

    async def put_key(self, record: KeyRecord) -> None:
        limits = record.limits
        row = (
            record.public,
            record.label,
            record.enrolled_at,
            record.revoked_at,
            limits.names,
            limits.ports,
            limits.streams,
        )

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)", row)

        await self._writer.run(work)

    async def put_token(self, record: TokenRecord) -> None:
        row = (record.digest, record.uses_left, record.expires_at, record.label)

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)", row)

        await self._writer.run(work)

    async def spend_token(self, digest: bytes, now: float) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            done = db.execute(
                "UPDATE tokens SET uses_left = uses_left - 1 WHERE digest = ?"
                " AND (uses_left IS NULL OR uses_left > 0)"
                " AND (expires_at IS NULL OR expires_at > ?)",
                (digest, now),
            )
            return done.rowcount == 1

        return await self._writer.run(work)

    async def name(self, name: str) -> NameRecord | None:
        def work(db: sqlite3.Connection) -> NameRecord | None:
            row = db.execute(f"{_NAME} WHERE name = ?", (name,)).fetchone()
            return _name_record(row) if row else None

        return await self._writer.run(work)

    async def names(self, key: bytes | None = None) -> tuple[NameRecord, ...]:
        def work(db: sqlite3.Connection) -> tuple[NameRecord, ...]:
            if key is None:
                rows = db.execute(f"{_NAME} ORDER BY name")
            else:
                rows = db.execute(f"{_NAME} WHERE key = ? ORDER BY name", (key,))
            return tuple(map(_name_record, rows))

        return await self._writer.run(work)

    async def find_instance(self, key: bytes, instance: bytes) -> NameRecord | None:
        def work(db: sqlite3.Connection) -> NameRecord | None:
            where = f"{_NAME} WHERE key = ? AND instance = ?"
            row = db.execute(where, (key, instance)).fetchone()
            return _name_record(row) if row else None

        return await self._writer.run(work)

    async def create_name(self, record: NameRecord) -> NameRecord:
        stored = _trimmed(record, revision=1)

        def work(db: sqlite3.Connection) -> NameRecord:
            try:
                db.execute("INSERT INTO names VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _name_row(stored))
            except sqlite3.IntegrityError:
                raise NameExists(stored.name) from None
            _store_tunnel(db, stored)
            return stored

        return await self._writer.run(work)

    async def update_name(self, record: NameRecord) -> NameRecord:
        stored = _trimmed(record, revision=record.revision + 1)

        def work(db: sqlite3.Connection) -> NameRecord:
            name, *rest = _name_row(stored)
            done = db.execute(
                "UPDATE names SET key = ?, chosen = ?, created_at = ?, epoch = ?, instance = ?,"
                " past = ?, revision = ? WHERE name = ? AND revision = ?",
                (*rest, name, record.revision),
            )
            if done.rowcount != 1:
                raise RevisionConflict(record.name)
            _store_tunnel(db, stored)
            return stored

        return await self._writer.run(work)

    async def delete_name(self, record: NameRecord) -> None:
        def work(db: sqlite3.Connection) -> None:
            done = db.execute(
                "DELETE FROM names WHERE name = ? AND revision = ?",
                (record.name, record.revision),
            )
            if done.rowcount != 1:
                raise RevisionConflict(record.name)

        await self._writer.run(work)

    async def changed(self) -> bool:
        def work(db: sqlite3.Connection) -> int:
            # Differs from the last value only when *another* connection has committed.
            version: int = db.execute("PRAGMA data_version").fetchone()[0]
            return version

        version = await self._writer.run(work)
        before, self._seen_version = self._seen_version, version
        return before is not None and before != version

    async def close(self) -> None:
        await self._writer.close()


def open_registry(path: Path) -> SqliteRegistry:
    """Open or create the file. Blocks for the time of one fsync: call it before serving.

    Raises ``RegistryTooNew``, ``RegistryUnavailable``, and ``LooseMode``, ``ForeignOwner`` or
    ``NotAPlainFile`` when the file is not ours alone.
    """

    def connect() -> sqlite3.Connection:
        _make_private(path)
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection, str(path))
        except sqlite3.Error as error:
            connection.close()
            raise RegistryUnavailable(str(error)) from None
        except BaseException:
            connection.close()
            raise
        return connection

    return SqliteRegistry(Writer(connect, "relay registry"))


def _make_private(path: Path) -> None:
    """The file, and what SQLite puts beside it with the same mode, is ours alone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAPlainFile(str(path), "a symbolic link") from None
        raise RegistryUnavailable(error.strerror or str(error)) from None
    status = os.fstat(descriptor)
    os.close(descriptor)
    if status.st_uid != os.geteuid():
        raise ForeignOwner(str(path), status.st_uid)
    if status.st_mode & 0o077:
        raise LooseMode(str(path), f"{stat.S_IMODE(status.st_mode):04o}", "0600")


def _key_record(row: tuple[Any, ...]) -> KeyRecord:
    public, label, enrolled_at, revoked_at, names, ports, streams = row
    return KeyRecord(public, label, enrolled_at, revoked_at, KeyLimits(names, ports, streams))


def _name_record(row: tuple[Any, ...]) -> NameRecord:
    name, key, chosen, created_at, epoch, instance, past, revision, terms, ends_at, port = row
    return NameRecord(
        name=name,
        key=key,
        chosen=bool(chosen),
        created_at=created_at,
        epoch=epoch,
        instance=instance,
        past=_past.decode(past),
        terms=None if terms is None else _terms.decode(terms),
        lease_end=ends_at or 0.0,
        port=port,
        revision=revision,
    )


def _trimmed(record: NameRecord, revision: int) -> NameRecord:
    return replace(record, past=record.past[:REMEMBERED_INSTANCES], revision=revision)


def _name_row(record: NameRecord) -> tuple[Any, ...]:
    return (
        record.name,
        record.key,
        int(record.chosen),
        record.created_at,
        record.epoch,
        record.instance,
        _encode(record.past),
        record.revision,
    )


def _store_tunnel(db: sqlite3.Connection, record: NameRecord) -> None:
    """The lease and the port that go with the name, in the same transaction."""
    if record.terms is None:
        db.execute("DELETE FROM leases WHERE name = ?", (record.name,))
    else:
        row = (record.name, record.lease_end, _encode(record.terms))
        db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", row)
    db.execute("DELETE FROM ports WHERE name = ?", (record.name,))
    if record.port is not None:
        try:
            db.execute("INSERT INTO ports VALUES (?, ?)", (record.name, record.port))
        except sqlite3.IntegrityError:
            raise PortTaken(record.port) from None
