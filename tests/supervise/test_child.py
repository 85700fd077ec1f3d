"""The origin's own process: started, ended, reaped, with everything it started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.supervise.child import Child
from underpass.supervise.errors import CommandNotFound, CommandNotStarted

URL = "http://127.0.0.1:1"


class Pipe:
    """What a child writes, read until every holder of the other end is gone."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.reader = asyncio.StreamReader()
        self._is_ours = True
        self._transport: asyncio.BaseTransport | None = None

    async def open(self) -> None:
        protocol = asyncio.StreamReaderProtocol(self.reader)
        end = os.fdopen(self.read_end, "rb", 0)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(lambda: protocol, end)

    def let_go(self) -> None:
        """Close our own writing end, so that the last child's death is the end. Idempotent: by then
        the number may be somebody else's."""
        if self._is_ours:
            self._is_ours = False
            os.close(self.write_end)

    def close(self) -> None:
        self.let_go()
        if self._transport is not None:
            self._transport.close()


@pytest.fixture
async def pipe() -> AsyncIterator[Pipe]:
    it = Pipe()
    await it.open()
    yield it
    it.close()


async def start(pipe: Pipe, code: str, *arguments: str) -> Child:
    command = (sys.executable, "-u", "-c", code, *arguments)
    child = await Child.start(command, url=URL, output=pipe.write_end)
    pipe.let_go()
    return child


async def read_all(pipe: Pipe) -> bytes:
    return await asyncio.wait_for(pipe.reader.read(), 20.0)


async def read_line(pipe: Pipe) -> bytes:
    return (await asyncio.wait_for(pipe.reader.readline(), 20.0)).strip()


async def test_a_child_is_told_the_url(pipe: Pipe) -> None:
    child = await start(pipe, "import os; print(os.environ['UNDERPASS_URL'])")
    assert await child.wait() == 0
    assert await read_all(pipe) == URL.encode() + b"\n"


async def test_the_exit_code_is_passed_on(pipe: Pipe) -> None:
    child = await start(pipe, "exit(7)")
    assert await child.wait() == 7
    assert child.code == 7
    assert not child.is_running


async def test_a_child_leads_a_group_of_its_own_and_reads_nothing(pipe: Pipe) -> None:
    code = "import os, sys; print(os.getpgid(0) == os.getpid(), repr(sys.stdin.read()))"
    child = await start(pipe, code)
    await child.wait()
    assert await read_all(pipe) == b"True ''\n"


async def test_a_child_is_asked_to_end_and_may_say_goodbye(pipe: Pipe) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): print('bye'); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end); print('ready')\n"
        "while True: time.sleep(60)"
    )
    child = await start(pipe, code)
    assert await read_line(pipe) == b"ready"
    assert await child.stop() == 3
    assert await read_line(pipe) == b"bye"


async def test_a_child_that_does_not_listen_is_killed(pipe: Pipe) -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready')\n"
        "while True: time.sleep(60)"
    )
    child = await start(pipe, code)
    assert await read_line(pipe) == b"ready"
    assert await child.stop(grace=0.05) == 128 + signal.SIGKILL
    assert await child.stop() == 128 + signal.SIGKILL


async def test_what_a_child_started_ends_with_it(pipe: Pipe) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('ready')"
    )
    child = await start(pipe, code)
    assert await read_line(pipe) == b"ready"
    assert await child.wait() == 0
    assert await read_all(pipe) == b""  # nobody holds the other end any more


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own signal is Linux's")
async def test_a_child_ends_when_this_process_is_killed(pipe: Pipe) -> None:
    code = (
        "import asyncio, sys\n"
        "from underpass.supervise.child import Child\n"
        "async def main():\n"
        "    line = 'import time; print(\"child\", flush=True); time.sleep(600)'\n"
        "    child = await Child.start([sys.executable, '-c', line], url='http://x', output=1)\n"
        "    await child.wait()\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=pipe.write_end)
    pipe.let_go()
    assert await read_line(pipe) == b"child"
    parent.kill()
    await parent.wait()
    assert await read_all(pipe) == b""


async def test_a_program_that_is_not_there_is_an_error(pipe: Pipe) -> None:
    with pytest.raises(CommandNotFound, match="no-such-program-anywhere"):
        await Child.start(["no-such-program-anywhere"], url=URL)


async def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandNotStarted, match="long"):
        await Child.start([sys.executable, "x" * 10_000_000], url=URL)


async def test_a_broken_program_says_so_in_the_way_of_shells(pipe: Pipe, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    child = await Child.start([str(broken)], url=URL, output=pipe.write_end)
    pipe.let_go()
    assert await child.wait() == 126
    assert b"broken" in await read_all(pipe)


async def test_arguments_are_never_shown(pipe: Pipe) -> None:
    child = await start(pipe, "pass", "a-secret")
    assert "a-secret" not in repr(child)
    await child.wait()
