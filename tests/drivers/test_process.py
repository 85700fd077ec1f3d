"""A foreign program: read in bounded memory, ended with all that it started, never outliving us."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.circuit import Circuit
from underpass.drivers.errors import EngineMissing
from underpass.drivers.process import MAX_LINE, LineSplitter, Program, minimal, run_to_end

# Lines


@given(st.lists(st.binary(max_size=50)), st.integers(1, 60))
def test_lines_are_the_same_however_the_bytes_come(parts: list[bytes], size: int) -> None:
    data = b"\n".join(parts)
    whole, pieces = LineSplitter(), LineSplitter()
    expected = whole.feed(data) + whole.end()
    found = [line for at in range(0, len(data), size) for line in pieces.feed(data[at : at + size])]
    assert found + pieces.end() == expected


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    splitter = LineSplitter(limit=8)
    lines = [line for _ in range(1000) for line in splitter.feed(b"x" * 100)]
    assert lines == []
    assert splitter.feed(b"\nnext\r\n") == ["x" * 8, "next"]
    assert MAX_LINE == 1 << 20


def test_what_is_no_text_is_replaced() -> None:
    assert LineSplitter().feed(b"a\xffb\n") == ["a\ufffdb"]


# The circuit


def test_the_circuit_opens_at_the_fifth_end_within_a_minute() -> None:
    circuit = Circuit()
    assert [circuit.ended(at) for at in (0.0, 10.0, 20.0, 30.0, 60.0)] == [*[False] * 4, True]


def test_slow_ends_never_open_the_circuit() -> None:
    circuit = Circuit()
    assert not any(circuit.ended(at * 15.1) for at in range(100))


# Programs


async def start(code: str, place: Path, hear: Callable[[str], None] = print) -> Program:
    argv = (sys.executable, "-I", "-c", code)
    return await Program.start(argv, environment=minimal(os.environ), directory=place, on_line=hear)


async def heard(lines: list[str], count: int) -> None:
    async with asyncio.timeout(10.0):
        while len(lines) < count:  # noqa: ASYNC110  (lines come from a callback)
            await asyncio.sleep(0.01)


async def test_a_program_sees_the_minimal_variables_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    lines: list[str] = []
    program = await start("import os; print(*sorted(os.environ))", tmp_path, lines.append)
    assert await program.wait() == 0
    assert "SOME_TOKEN" not in lines[0].split()
    assert "PATH" in lines[0].split()


async def test_a_program_has_no_terminal_to_ask_for_a_password_on(tmp_path: Path) -> None:
    lines: list[str] = []
    code = (
        "import os\n"
        "print(os.getsid(0) == os.getpid() == os.getpgid(0))\n"
        "try: open('/dev/tty')\n"
        "except OSError: print('no terminal')\n"
    )
    program = await start(code, tmp_path, lines.append)
    assert await program.wait() == 0
    assert lines == ["True", "no terminal"]


async def test_last_words_of_both_kinds_are_read_before_the_end_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    program = await start(code, tmp_path, lines.append)
    assert await program.wait() == 3
    assert sorted(lines) == ["err", "out"]


async def test_stop_ends_grandchildren_and_the_deaf(tmp_path: Path) -> None:
    lines: list[str] = []
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    program = await start(code, tmp_path, lines.append)
    await heard(lines, 1)
    assert await program.stop(grace=0.2) == 128 + signal.SIGKILL
    async with asyncio.timeout(10.0):
        while is_running(int(lines[0])):  # noqa: ASYNC110  (it dies when its turn comes)
            await asyncio.sleep(0.01)
    assert await program.stop() == 128 + signal.SIGKILL


def is_running(pid: int) -> bool:
    """Whether the process is neither gone nor merely waiting to be reaped."""
    try:
        return str(psutil.Process(pid).status()) != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_flood_without_lines_is_read_in_bounded_memory(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys\nfor _ in range(64): sys.stdout.write('x' * (1 << 20))\nprint('\\nend')"
    program = await start(code, tmp_path, lines.append)
    async with asyncio.timeout(20.0):
        assert await program.wait() == 0
    assert [len(line) for line in lines] == [MAX_LINE, 3]


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="there is no program 'nothing-of-that-name'"):
        await Program.start(
            ("nothing-of-that-name",),
            environment=minimal(os.environ),
            directory=tmp_path,
            on_line=print,
        )


async def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    code, lines = await run_to_end(
        ("sh", "-c", "echo begun; sleep 600"),
        environment=minimal(os.environ),
        directory=tmp_path,
        seconds=0.3,
    )
    assert (code, lines) == (124, ["begun"])


async def test_a_program_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    parent = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from underpass.drivers.process import Program, minimal\n"
        "async def main():\n"
        "    program = await Program.start(('sleep', '600'), environment=minimal(os.environ),\n"
        "        directory=Path('/'), on_line=print)\n"
        "    print(program.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    child = psutil.Process(int(await process.stdout.readline()))
    process.kill()
    await process.wait()
    await asyncio.to_thread(psutil.wait_procs, [child], timeout=10.0)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
