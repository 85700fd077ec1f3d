"""The layout of ``relay.db``, and how an older file becomes a newer one.

Each entry of ``MIGRATIONS`` lifts the file by one ``user_version``; entries are never changed once
released. Names, keys, epochs, instances, leases and ports are here, nothing else.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from underpass.relay.server.errors import RegistryTooNew

MIGRATIONS: Final = (
    """
    CREATE TABLE keys (
        public      BLOB PRIMARY KEY,
        label       TEXT NOT NULL,
        enrolled_at REAL NOT NULL,
        revoked_at  REAL,
        names       INTEGER NOT NULL,
        ports       INTEGER NOT NULL,
        streams     INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE tokens (
        digest      BLOB PRIMARY KEY,
        uses_left   INTEGER,
        expires_at  REAL,
        label       TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE names (
        name        TEXT PRIMARY KEY,
        key         BLOB NOT NULL,
        chosen      INTEGER NOT NULL,
        created_at  REAL NOT NULL,
        epoch       INTEGER NOT NULL,
        instance    BLOB NOT NULL,
        past        BLOB NOT NULL,
        revision    INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX names_by_key ON names (key, instance);
    CREATE TABLE leases (
        name        TEXT PRIMARY KEY REFERENCES names (name) ON DELETE CASCADE,
        ends_at     REAL NOT NULL,
        terms       BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE ports (
        name        TEXT PRIMARY KEY REFERENCES names (name) ON DELETE CASCADE,
        port        INTEGER NOT NULL UNIQUE
    ) WITHOUT ROWID;
    """,
)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Lift the file to the newest layout, each step whole or not at all.

    ``connection`` is in autocommit mode. Two processes may try at once: the second finds it done.
    """
    known = len(MIGRATIONS)
    for _ in range(known + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > known:
                raise RegistryTooNew(path, found, known)
            if found < known:
                for statement in MIGRATIONS[found].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {found + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
