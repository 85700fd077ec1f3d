"""Looking into what was recorded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.observe.test_writer import row

from underpass.observe.errors import NoSuchRequest
from underpass.observe.looking import Captures
from underpass.observe.record import format_id
from underpass.observe.writer import CaptureWriter

BASE = float(int(time.time()) - 1000)


def test_without_a_file_there_is_nothing_and_none_is_made(captures: Path) -> None:
    with Captures(captures) as looked:
        assert looked.newest("tools", most=10) == []
    assert not captures.exists()


async def test_the_newest_that_match_come_oldest_first(
    writer: CaptureWriter, captures: Path
) -> None:
    for number in range(10):
        writer.write([row(BASE + number, status=200 if number % 2 else 404)])
    writer.write([row(BASE + 20, tunnel="others")])
    await writer.flush()
    with Captures(captures) as looked:
        found = looked.newest("tools", most=3, matches=lambda outline: outline.status == 404)
        assert [outline.at for outline in found] == [BASE + 4, BASE + 6, BASE + 8]
        assert len(looked.newest("tools", most=100, since=BASE + 5)) == 5


async def test_one_is_found_by_its_id_and_by_the_end_of_it(
    writer: CaptureWriter, captures: Path
) -> None:
    each = row(BASE)
    writer.write([each])
    writer.write([row(BASE + 100)])
    await writer.flush()
    key = format_id(each[0].id)
    with Captures(captures) as looked:
        assert looked.find(key)[0].at == BASE
        assert looked.find(key.upper())[0].at == BASE
        assert looked.find(key[-8:])[0].at == BASE


@pytest.mark.parametrize("key", ["0000000000000", "abcd", "1", "not an id at all"])
async def test_no_such_request(writer: CaptureWriter, captures: Path, key: str) -> None:
    await writer.flush()
    with Captures(captures) as looked, pytest.raises(NoSuchRequest) as caught:
        looked.find(key)
    assert caught.value.code == "no-such-request"


async def test_overlapping_batches_and_single_records_come_in_one_order(
    writer: CaptureWriter, captures: Path
) -> None:
    rows = [row(BASE + number) for number in range(9)]
    for numbers, alone in (((0, 4, 8), False), ((1, 5), True), ((2, 3, 6, 7), False)):
        for number in numbers:
            if alone:
                writer.write_alone(rows[number])
            else:
                writer.write([rows[number]])
        await writer.flush()
    with Captures(captures) as looked:
        found = [outline.at - BASE for outline in looked.newest("tools", most=100)]
        assert found == list(range(9))
        few = [outline.at - BASE for outline in looked.newest("tools", most=3)]
        assert few == [6, 7, 8]
        since = looked.newest("tools", most=100, since=BASE + 4)
        assert [outline.at - BASE for outline in since] == [4, 5, 6, 7, 8]
        for outline, _ in rows:
            assert looked.find(outline.key)[0].at == outline.at
