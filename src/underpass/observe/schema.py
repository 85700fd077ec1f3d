"""The tables of ``captures.db``, and how its file is made: ours alone, from its first byte.

One file serves every ``open`` of one user: what a quota bounds is then the disk, and not the disk
times the tunnels; a tunnel that was closed can still be looked into. SQLite lets several processes
write; each does so a few times a second at most, in batches.

What a batch holds is one row: a row for each exchange costs more than all else that is done for it.
Only what was written down while it lasted has a row of its own, which its end replaces.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from underpass.model.errors import Setup
from underpass.model.errors_run import ForeignOwner, LooseMode, NotAPlainFile
from underpass.observe.errors import CapturesUnreadable

FILE: Final = "captures.db"
VERSION: Final = 2
PAGE_BYTES: Final = 32 * 1024
LOG_BYTES: Final = 16 << 20
"""What the write-ahead log holds before it is folded into the file."""

BUSY_SECONDS: Final = 5.0
"""How long another process may hold the write lock before a batch is dropped."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS exchange (
    id INTEGER PRIMARY KEY,   -- milliseconds since 1970, shifted by 20 random bits
    tunnel TEXT NOT NULL,
    outline BLOB NOT NULL,    -- record.Outline; before the messages, which lists need not read
    messages BLOB NOT NULL    -- record.Messages
);
CREATE TABLE IF NOT EXISTS batch (
    newest INTEGER PRIMARY KEY,  -- the largest id in it
    oldest INTEGER NOT NULL,     -- the smallest
    tunnel TEXT NOT NULL,
    outlines BLOB NOT NULL,      -- an array of record.Outline
    messages BLOB NOT NULL       -- an array of record.Messages, in the same order
);
CREATE TABLE IF NOT EXISTS usage (
    tunnel TEXT NOT NULL,
    month TEXT NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (tunnel, month)
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or make the file for writing. Raises ``CapturesUnreadable``, and ``LooseMode``,
    ``ForeignOwner`` or ``NotAPlainFile`` when the file is not ours alone."""
    make_private(path)
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=16
        )
    except sqlite3.Error as error:
        raise CapturesUnreadable(str(path), str(error)) from None
    try:
        # Of a new file. A record of two or three KiB would fill a usual page alone, and pages are
        # what is written: this halves the work.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}")
        connection.execute("PRAGMA synchronous = NORMAL")
        # Freed pages hold what was deleted until they are used again: wipe them.
        connection.execute("PRAGMA secure_delete = FAST")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, 1, VERSION):
            raise CapturesUnreadable(str(path), "it was made by a newer underpass")
        if version != VERSION:  # version 1 had no batches, and is otherwise the same
            connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {VERSION};COMMIT;")
    except sqlite3.Error as error:
        connection.close()
        raise CapturesUnreadable(str(path), str(error)) from None
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection | None:
    """Open the file to look into it; None if there is none. Raises as ``connect``."""
    if not path.exists():
        return None
    make_private(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 1:
            connect(path).close()
            version = VERSION
        if version not in (0, VERSION):
            raise CapturesUnreadable(str(path), "it was made by a newer underpass")
        connection.execute("PRAGMA query_only = ON")
    except (sqlite3.Error, CapturesUnreadable) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, CapturesUnreadable):
            raise
        raise CapturesUnreadable(str(path), str(error)) from None
    if version == 0:
        connection.close()
        return None  # somebody is making it at this moment
    return connection


def make_private(path: Path, unusable: Callable[[str, str], Setup] = CapturesUnreadable) -> None:
    """The file, and what SQLite puts beside it with the same mode, is ours alone. Raises
    ``unusable`` when it cannot be opened or made."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAPlainFile(str(path), "a symbolic link") from None
        raise unusable(str(path), (error.strerror or str(error)).lower()) from None
    status = os.fstat(descriptor)
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise NotAPlainFile(str(path), "no file")
    if status.st_uid != os.geteuid():
        raise ForeignOwner(str(path), status.st_uid)
    if status.st_mode & 0o077:
        raise LooseMode(str(path), f"{stat.S_IMODE(status.st_mode):04o}", "0600")
