from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from underpass.model.errors_run import LooseMode, NotAPlainFile
from underpass.relay.server.errors import RegistryTooNew, RegistryUnavailable
from underpass.relay.server.registry import KeyRecord, NameRecord
from underpass.relay.server.schema import MIGRATIONS
from underpass.relay.server.sqlite_registry import SqliteRegistry, open_registry

KEY = b"k" * 32
NAME = NameRecord(name="tools", key=KEY, chosen=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
async def registry(path: Path) -> SqliteRegistry:
    return open_registry(path)


async def test_the_log_is_written_ahead_and_synced_at_each_commit(
    registry: SqliteRegistry,
) -> None:
    mode = await registry._writer.run(lambda db: db.execute("PRAGMA journal_mode").fetchone()[0])
    sync = await registry._writer.run(lambda db: db.execute("PRAGMA synchronous").fetchone()[0])
    assert (mode, sync) == ("wal", 2)
    await registry.close()


async def test_statements_never_run_on_the_loop_thread(registry: SqliteRegistry) -> None:
    thread = await registry._writer.run(lambda db: threading.current_thread())
    assert thread is not threading.current_thread()
    await registry.close()


async def test_closing_ends_the_thread(registry: SqliteRegistry) -> None:
    thread = await registry._writer.run(lambda db: threading.current_thread())
    await registry.close()
    assert not thread.is_alive()


async def test_work_that_waits_together_is_committed_together(registry: SqliteRegistry) -> None:
    commits: list[str] = []
    await registry._writer.run(
        lambda db: db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else 0)
    )
    gate = threading.Event()
    blocked = asyncio.ensure_future(registry._writer.run(lambda db: gate.wait()))
    waiting = [
        asyncio.ensure_future(registry.put_key(KeyRecord(bytes([n]) * 32))) for n in range(50)
    ]
    await asyncio.sleep(0)  # each has queued its work
    before = len(commits)
    gate.set()
    await asyncio.gather(blocked, *waiting)
    assert len(commits) - before <= 3
    assert len(await registry.keys()) == 50
    await registry.close()


async def test_a_failed_piece_of_work_leaves_its_neighbours_alone(
    registry: SqliteRegistry,
) -> None:
    async def fail() -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM keys")
            raise LookupError

        await registry._writer.run(work)

    results = await asyncio.gather(
        registry.put_key(KeyRecord(KEY)),
        fail(),
        registry.create_name(NAME),
        return_exceptions=True,
    )
    assert isinstance(results[1], LookupError)
    assert await registry.key(KEY) is not None
    assert await registry.name("tools") is not None
    await registry.close()


async def test_a_store_that_cannot_write_is_said_to_be_unavailable(
    registry: SqliteRegistry,
) -> None:
    def full(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(RegistryUnavailable) as caught:
        await registry._writer.run(full)
    assert "disk is full" in caught.value.message
    await registry.put_key(KeyRecord(KEY))
    assert await registry.key(KEY) is not None
    await registry.close()


async def test_a_closed_registry_is_unavailable(registry: SqliteRegistry) -> None:
    await registry.close()
    with pytest.raises(RegistryUnavailable):
        await registry.keys()


def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    later = sqlite3.connect(path)
    later.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    later.close()
    path.chmod(0o600)
    with pytest.raises(RegistryTooNew) as caught:
        open_registry(path)
    assert caught.value.message == (
        f"cannot open {path}: it has layout {len(MIGRATIONS) + 1},"
        f" and this version knows {len(MIGRATIONS)}"
    )


async def test_opening_twice_migrates_once(path: Path) -> None:
    first, second = open_registry(path), open_registry(path)
    await first.put_key(KeyRecord(KEY))
    assert await second.key(KEY) is not None
    await first.close()
    await second.close()


async def test_an_epoch_is_on_disk_when_it_is_returned(
    registry: SqliteRegistry, path: Path
) -> None:
    await registry.create_name(replace(NAME, epoch=5))
    other = sqlite3.connect(path)
    assert other.execute("SELECT epoch FROM names").fetchall() == [(5,)]
    other.close()
    await registry.close()


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    path.touch(mode=0o644)
    path.chmod(0o644)
    with pytest.raises(LooseMode) as caught:
        open_registry(path)
    assert caught.value.mode == "0644"


def test_a_link_to_a_file_is_refused(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(NotAPlainFile):
        open_registry(path)


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"nonsense" * 1000)
    path.chmod(0o600)
    with pytest.raises(RegistryUnavailable):
        open_registry(path)
