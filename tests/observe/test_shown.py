"""Proofs that are good once: remembered across restarts, bounded, and never on the loop's time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.model.errors import UnderpassError
from underpass.observe import durable
from underpass.observe.shown import FILE, SWEEP_EVERY, Shown

DEADLINE = 10.0
NOW = 1_800_000_000.0


@contextlib.asynccontextmanager
async def opened(path: Path, tunnel: str = "tools", **limits: int) -> AsyncIterator[Shown]:
    memory = Shown(path, tunnel, wall_clock=lambda: NOW, **limits)
    try:
        yield memory
    finally:
        await memory.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM shown").fetchone()
        return int(count)


async def test_what_was_shown_is_known_after_a_restart(path: Path) -> None:
    for expected in (True, False, False):
        async with opened(path) as memory:
            assert await memory.first_use([b"mac"], None) is expected
            assert await memory.first_use([b"timed"], NOW + 300) is expected


async def test_any_of_several_proofs_of_one_thing_gives_it_away(path: Path) -> None:
    async with opened(path) as memory:
        assert await memory.first_use([b"by the old key"], None)
        assert not await memory.first_use([b"by the new key", b"by the old key"], None)
        assert not await memory.first_use([b"by the new key"], None), "remembered meanwhile"


async def test_tunnels_do_not_mix(path: Path) -> None:
    async with opened(path) as tools, opened(path, "hooks") as hooks:
        assert await tools.first_use([b"mac"], None)
        assert await hooks.first_use([b"mac"], None)
        assert not await tools.first_use([b"mac"], None)


async def test_two_that_serve_one_name_admit_a_proof_once(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        asked = [each.first_use([b"mac%d" % n], None) for n in range(50) for each in (one, other)]
        async with asyncio.timeout(DEADLINE):
            answers = await asyncio.gather(*asked)
        pairs = list(zip(answers[::2], answers[1::2], strict=True))
        assert all(sorted(pair) == [False, True] for pair in pairs)


async def test_of_those_that_come_together_the_first_passes(path: Path) -> None:
    async with opened(path) as memory:
        answers = await asyncio.gather(*(memory.first_use([b"mac"], None) for _ in range(20)))
        assert answers == [True] + [False] * 19


async def test_no_signature_can_be_read_from_the_file(path: Path) -> None:
    mac = bytes(range(32))
    async with opened(path, "a-telling-name") as memory:
        await memory.first_use([mac], None)
        kept = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert mac not in kept
    assert b"a-telling-name" not in kept
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


async def test_what_is_worth_nothing_any_more_goes(path: Path) -> None:
    async with opened(path) as memory:
        for number, until in enumerate((NOW - 1, NOW, NOW + 1, None)):
            await memory.first_use([b"%d" % number], until)
    async with opened(path) as memory:
        assert rows(path) == 2
        assert not await memory.first_use([b"2"], NOW + 1)
        assert not await memory.first_use([b"3"], None)


async def test_without_a_time_the_newest_of_each_tunnel_stay(path: Path) -> None:
    async with opened(path, "other") as other, opened(path, most=10) as memory:
        await other.first_use([b"of the other"], None)
        for number in range(SWEEP_EVERY):
            assert await memory.first_use([b"%d" % number], None)
        assert rows(path) == 10 + 1
        assert not await memory.first_use([b"%d" % (SWEEP_EVERY - 10)], None)
        assert await memory.first_use([b"%d" % (SWEEP_EVERY - 11)], None), "the horizon"
        assert not await other.first_use([b"of the other"], None)


async def test_the_file_is_bounded_however_many_tunnels_there_were(path: Path) -> None:
    for number in range(20):
        async with opened(path, f"tunnel-{number}", most_in_all=5) as memory:
            assert await memory.first_use([b"mac"], None)
            assert not await memory.first_use([b"mac"], None)
    async with opened(path, most_in_all=5):
        assert rows(path) == 5


async def test_the_loop_goes_on_while_the_disk_is_waited_for(path: Path) -> None:
    async with opened(path) as memory:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = [asyncio.ensure_future(memory.first_use([b"%d" % n], None)) for n in range(3)]
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not any(each.done() for each in asked)
            asked[1].cancel()  # its visitor has left
            other.execute("ROLLBACK")
        async with asyncio.timeout(DEADLINE):
            assert await asked[0]
            assert await asked[2]
            assert not await memory.first_use([b"1"], None), "on disk, whoever waited for it"


def test_a_file_that_cannot_be_made_is_told_as_this_file(path: Path) -> None:
    path.write_text("a file where a directory would be needed")
    with pytest.raises(UnderpassError) as caught:
        Shown(path / FILE, "hooks")
    assert caught.value.code == "replays-unusable"
    assert "not a directory" in caught.value.message


async def test_when_the_disk_fails_nobody_says_that_it_was_the_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "BUSY_SECONDS", 0.01)
    async with opened(path) as memory:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnderpassError) as caught:
                await memory.first_use([b"mac"], None)
            assert caught.value.code == "replays-unusable"
            other.execute("ROLLBACK")
        assert await memory.first_use([b"mac"], None), "nothing was remembered, so it may pass"


async def test_after_closing_nobody_says_anything(path: Path) -> None:
    async with opened(path) as memory:
        pass
    await memory.close()
    with pytest.raises(RuntimeError):
        await memory.first_use([b"mac"], None)


def spoil(path: Path, how: str) -> None:
    if how == "newer":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        return
    whole, rubbish = path.read_bytes(), b"what?" * 2000
    path.write_bytes(rubbish if how == "no database" else whole[: len(whole) // 2] + rubbish)


@pytest.mark.parametrize("spoiled", ["no database", "torn", "newer"])
async def test_a_file_that_cannot_be_trusted_is_an_error_and_not_a_fresh_start(
    path: Path, spoiled: str
) -> None:
    async with opened(path) as memory:
        for number in range(500):
            await memory.first_use([b"%d" % number], None)
    spoil(path, spoiled)
    with pytest.raises(UnderpassError) as caught:
        Shown(path, "tools")
    assert caught.value.code == "replays-unusable"
    assert str(path) in caught.value.message


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    path.touch(mode=0o644)
    path.chmod(0o644)
    with pytest.raises(UnderpassError) as caught:
        Shown(path, "tools")
    assert caught.value.code == "loose-mode"


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from underpass.observe.shown import Shown

async def main():
    memory = Shown(Path(sys.argv[1]), "tools")
    assert await memory.first_use([b"mac"], None)
    print("passed", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_the_moment_it_has_passed_one_on_has_kept_it(
    path: Path,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED, str(path), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert (said, process.returncode) == (b"passed\n", -signal.SIGKILL)
    async with opened(path) as memory:
        assert not await memory.first_use([b"mac"], None)
