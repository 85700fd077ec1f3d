"""Small files of SQLite whose every commit is on disk before it counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from underpass.model.errors import Setup
from underpass.observe.schema import make_private

BUSY_SECONDS: Final = 5.0
"""How long another process may hold the write lock."""


def connect_durable(
    path: Path, tables: str, version: int, unusable: Callable[[str, str], Setup]
) -> sqlite3.Connection:
    """Open the file, or make it with ``tables``. Any thread may use the connection, one at a time.

    Raises ``unusable`` (of the path, and why) when the disk or the file is no good or a newer
    underpass has made it, and ``LooseMode``, ``ForeignOwner`` or ``NotAPlainFile`` when the file is
    not ours alone.
    """
    make_private(path, unusable)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, version):
            raise sqlite3.DatabaseError("it was made by a newer underpass")
        if found == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE;{tables}PRAGMA user_version = {version};COMMIT;"
            )
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise unusable(str(path), str(error)) from None
    return connection
