"""The journal keeps what was written, in a file that is ours alone."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from underpass.model.errors_run import LooseMode
from underpass.observe.journal import Entry, Journal, JournalUnusable

ENTRY = Entry(
    at=1_795_000_000.0,
    who="ada",
    tunnel="3001 --public",
    what="danger-accepted",
    reason="shown to the class",
    findings=[{"code": "files-listed"}],
)


def test_what_was_written_is_read_again_oldest_first(tmp_path: Path):
    journal = Journal(tmp_path / "state" / "state.db")
    assert journal.newest() == []
    later = replace(ENTRY, at=ENTRY.at + 1, what="danger-refused", reason="")
    journal.write(ENTRY)
    journal.write(later)
    assert Journal(journal.path).newest() == [ENTRY, later]
    assert journal.newest(most=1) == [later]


def test_the_file_and_its_log_are_ours_alone(tmp_path: Path):
    tmp_path.chmod(0o700)
    journal = Journal(tmp_path / "state.db")
    journal.write(ENTRY)
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    journal.path.chmod(0o644)
    with pytest.raises(LooseMode):
        journal.write(ENTRY)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM journal", "UPDATE journal SET reason = 'another'"]
)
def test_entries_can_be_neither_changed_nor_deleted(tmp_path: Path, statement: str):
    tmp_path.chmod(0o700)
    journal = Journal(tmp_path / "state.db")
    journal.write(ENTRY)
    connection = sqlite3.connect(journal.path)
    try:
        with pytest.raises(sqlite3.IntegrityError, match="stay"):
            connection.execute(statement)
    finally:
        connection.close()
    assert journal.newest() == [ENTRY]


def test_an_entry_is_synchronous_and_the_file_in_wal(tmp_path: Path):
    tmp_path.chmod(0o700)
    journal = Journal(tmp_path / "state.db")
    with journal._connected() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_several_processes_may_write(tmp_path: Path):
    tmp_path.chmod(0o700)
    path = tmp_path / "state.db"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Journal(path).write(ENTRY), range(40)))
    assert len(Journal(path).newest()) == 40


def test_a_file_that_is_no_journal_is_journal_unusable(tmp_path: Path):
    tmp_path.chmod(0o700)
    path = tmp_path / "state.db"
    path.write_bytes(b"something else" * 200)
    path.chmod(0o600)
    with pytest.raises(JournalUnusable) as caught:
        Journal(path).newest()
    assert caught.value.code == "journal-unusable"
