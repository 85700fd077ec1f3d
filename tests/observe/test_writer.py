"""What is handed in is written, within the quota; what cannot be is counted, and nobody waits."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import pytest

from underpass.model.errors_run import LooseMode, NotAPlainFile
from underpass.observe import writer as module
from underpass.observe.errors import CapturesUnreadable
from underpass.observe.looking import Captures
from underpass.observe.meter import Usage
from underpass.observe.record import Body, Ids, Messages, Outline, encode
from underpass.observe.schema import make_private
from underpass.observe.writer import CaptureWriter, Record, Retention

IDS = Ids()


def row(at: float | None = None, size: int = 0, tunnel: str = "tools", **facts: object) -> Record:
    at = time.time() if at is None else at
    outline = Outline(IDS.new(at), tunnel, "http", at, **facts)  # type: ignore[arg-type]
    return outline, Messages(request=Body(data=bytes(size)))


def kept(path: Path, tunnel: str = "tools") -> list[Outline]:
    with Captures(path) as captures:
        return captures.newest(tunnel, most=100_000)


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_what_is_handed_in_is_written_in_order(writer: CaptureWriter, captures: Path) -> None:
    rows = [row() for _ in range(200)]
    for each in rows:
        writer.write([each])
    await writer.flush()
    assert [outline.id for outline in kept(captures)] == sorted(each[0].id for each in rows)
    assert (writer.written, writer.dropped) == (200, 0)


async def test_a_record_with_the_same_id_is_replaced(writer: CaptureWriter, captures: Path) -> None:
    first = row(outcome="open")
    writer.write_alone(first)
    await writer.flush()
    done = Outline(first[0].id, "tools", "http", time.time(), outcome="complete")
    writer.write_alone((done, first[1]))
    await writer.flush()
    assert [outline.outcome for outline in kept(captures)] == ["complete"]


async def test_the_file_and_what_stands_beside_it_are_the_owners(
    writer: CaptureWriter, captures: Path
) -> None:
    writer.write([row()])
    await writer.flush()
    found = list(captures.parent.glob("captures.db*"))
    assert len(found) >= 2  # the log is there, too
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(captures: Path, mode: int) -> None:
    captures.touch()
    captures.chmod(mode)
    with pytest.raises(LooseMode):
        CaptureWriter(captures)
    with pytest.raises(LooseMode):
        Captures(captures)


def test_a_link_is_refused(captures: Path, tmp_path: Path) -> None:
    captures.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAPlainFile):
        CaptureWriter(captures)


def test_captures_unreadable(captures: Path) -> None:
    captures.touch(0o600)
    captures.write_bytes(b"this is no database, though it is long enough to be one" * 100)
    for kind in (CaptureWriter, Captures):
        with pytest.raises(CapturesUnreadable) as caught:
            kind(captures)
        assert caught.value.code == "captures-unreadable"


def test_a_file_of_a_newer_version_is_left_alone(captures: Path) -> None:
    captures.touch(0o600)
    with sqlite3.connect(captures) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CapturesUnreadable):
        CaptureWriter(captures)


async def test_two_processes_share_one_file(writer: CaptureWriter, captures: Path) -> None:
    other = CaptureWriter(captures)
    for number in range(100):
        (writer if number % 2 else other).write([row()])
    await writer.flush()
    await other.close()
    assert len(kept(captures)) == 100


async def test_the_oldest_go_when_the_file_is_too_large(
    captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_BYTES", 1)
    writer = CaptureWriter(captures, Retention(bytes=4 << 20))
    newest = 0
    for _ in range(20):
        for _ in range(10):
            each = row(size=50_000)
            newest = each[0].id
            writer.write([each])
        await writer.flush()
    await writer.close()
    left = kept(captures)
    assert 20 < len(left) < 100
    assert left[-1].id == newest
    assert size_of(captures) < 6 << 20


async def test_what_is_too_old_goes(captures: Path) -> None:
    writer = CaptureWriter(captures, Retention(seconds=3600.0), clock=lambda: 10_000.0)
    for pair in ((1_000.0, 6_399.0), (6_401.0, 9_999.0)):
        for at in pair:
            writer.write([row(at)])
        await writer.flush()
    await writer.close()
    assert [outline.at for outline in kept(captures)] == [6_401.0, 9_999.0]


async def test_when_the_disk_is_slow_records_are_dropped_and_counted(
    writer: CaptureWriter, captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 1_000_000)
    locked = sqlite3.connect(captures, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    for _ in range(200):
        writer.write([row(size=10_000)])
    assert time.monotonic() - began < 1.0
    assert writer.dropped > 50
    assert writer.is_full or writer.dropped
    locked.execute("ROLLBACK")
    locked.close()
    await writer.flush()
    assert writer.written + writer.dropped == 200
    assert len(kept(captures)) == writer.written > 50


async def test_a_file_that_breaks_costs_records_and_not_the_writer(
    captures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = CaptureWriter(captures)
    with sqlite3.connect(captures) as connection:
        connection.execute("DROP TABLE batch")
    connection.close()
    for _ in range(3):
        writer.write([row()])
        await writer.flush()
    assert (writer.written, writer.dropped) == (0, 3)
    assert sum("not being recorded" in message for message in caplog.messages) == 1
    await writer.close()


async def test_usage_of_a_month_adds_up_over_processes(
    writer: CaptureWriter, captures: Path
) -> None:
    for _ in range(2):
        writer.use("tools", Usage("2026-11", 10, 20, 1))
        await writer.flush()
    other = CaptureWriter(captures)
    other.use("tools", Usage("2026-11", 1, 2, 3))
    await other.close()
    with Captures(captures) as looked:
        assert looked.usage("tools", "2026-11") == Usage("2026-11", 21, 42, 5)
        assert looked.usage("tools", "2026-12") == Usage("2026-12")


async def test_a_file_of_the_first_version_is_read_and_written_on(captures: Path) -> None:
    old = Outline(IDS.new(time.time() - 60), "tools", "http", time.time() - 60)
    make_private(captures)
    connection = sqlite3.connect(captures)
    connection.execute(
        "CREATE TABLE exchange (id INTEGER PRIMARY KEY, tunnel TEXT NOT NULL,"
        " outline BLOB NOT NULL, messages BLOB NOT NULL)"
    )
    connection.execute(
        "INSERT INTO exchange VALUES (?,?,?,?)",
        (old.id, "tools", encode(old), encode(Messages(reason=b"old"))),
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    assert [outline.id for outline in kept(captures)] == [old.id]
    writer = CaptureWriter(captures)
    each = row()
    writer.write([each])
    await writer.close()
    assert [outline.id for outline in kept(captures)] == [old.id, each[0].id]
    with Captures(captures) as looked:
        assert looked.find(old.key)[1].reason == b"old"


async def test_what_comes_together_is_one_row_within_its_bounds(
    writer: CaptureWriter, captures: Path
) -> None:
    for _ in range(2 * module.BATCH_RECORDS):
        writer.write([row()])
    for _ in range(4):
        writer.write([row(size=module.BATCH_BYTES // 2)])
    await writer.flush()
    with sqlite3.connect(captures) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM batch").fetchone()
    connection.close()
    assert 6 <= rows <= 8  # the thread may have taken some before the last came
    assert len(kept(captures)) == 2 * module.BATCH_RECORDS + 4


async def test_what_one_tunnel_has_waiting_costs_another_its_records_and_no_more(
    writer: CaptureWriter, captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 10_000)
    writer.write([row(size=20_000)])
    writer.write([row(tunnel="others")])
    await writer.flush()
    assert (writer.written, writer.dropped) in ((1, 1), (2, 0))  # or the thread was quicker
    monkeypatch.undo()
    writer.write([row(tunnel="others")])
    await writer.flush()
    assert len(kept(captures, "others")) == writer.written - 1
