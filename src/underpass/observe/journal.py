"""The journal: what was allowed against advice, by whom and why, and what was refused.

It is kept in ``state.db`` below the state directory (SQLite in WAL, ``synchronous=FULL``: an entry
is on disk before what it tells of happens). Entries are only ever added: the file's own triggers
refuse to change or delete one. All processes of one user write the same file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from underpass.guard.private_files import private_directory
from underpass.model.errors import Setup
from underpass.observe.durable import connect_durable

FILE: Final = "state.db"
VERSION: Final = 1
MOST: Final = 200
"""Entries shown unless asked for more."""

SCHEMA: Final = "underpass/v1/journal"

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,         -- Unix seconds
    who TEXT NOT NULL,
    tunnel TEXT NOT NULL,     -- the words that declare it
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    findings BLOB NOT NULL    -- JSON
);
CREATE TRIGGER IF NOT EXISTS journal_stays BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'entries of the journal stay as they are'); END;
CREATE TRIGGER IF NOT EXISTS journal_keeps BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'entries of the journal stay'); END;
"""


@dataclass(eq=False)
class JournalUnusable(Setup):
    """The file of the journal cannot be written or read."""

    path: str
    why: str

    code = "journal-unusable"
    sentence = "cannot use the journal in {path}: {why}"
    hint_text = "make room, or move the file away; a new one is made"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    at: float
    who: str
    """Login name, and the tunnel's owner where that is somebody else."""
    tunnel: str
    """The words that declare it."""
    what: str
    """``danger-accepted`` or ``danger-refused``."""
    reason: str
    """As it was given; "" for a refusal."""
    findings: Sequence[dict[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """One object of ``underpass journal --json``."""
        return {
            "schema": SCHEMA,
            "at": self.at,
            "who": self.who,
            "tunnel": self.tunnel,
            "what": self.what,
            "reason": self.reason,
            "findings": list(self.findings),
        }


class Journal:
    """The journal of one state directory. Calls block for as long as the disk does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, entry: Entry) -> None:
        """Add an entry, durable when this returns.

        Raises ``JournalUnusable``, and ``LooseMode``, ``ForeignOwner`` or ``NotAPlainFile`` when
        the file is not ours alone.
        """
        private_directory(self.path.parent)
        row = (entry.at, entry.who, entry.tunnel, entry.what, entry.reason)
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO journal (at, who, tunnel, what, reason, findings)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (*row, msgspec.json.encode(entry.findings)),
            )

    def newest(self, most: int = MOST) -> list[Entry]:
        """The newest entries, the oldest of them first; none if nothing was ever written. Raises as
        ``write``."""
        if not self.path.exists():
            return []
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT at, who, tunnel, what, reason, findings FROM journal"
                " ORDER BY id DESC LIMIT ?",
                (most,),
            ).fetchall()
        return [
            Entry(at, who, tunnel, what, reason, msgspec.json.decode(findings))
            for at, who, tunnel, what, reason, findings in reversed(rows)
        ]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                connect_durable(self.path, _TABLES, VERSION, JournalUnusable)
            ) as connection:
                yield connection
        except sqlite3.Error as error:
            raise JournalUnusable(str(self.path), str(error)) from None
