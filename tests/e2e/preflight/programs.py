"""The corpus: real programs that strangers must not have, and real programs that they may.

Each is started on free ports of loopback and ended with its whole process group. What it is made of
comes from PyPI, Debian, Node.js, Go's standard library or Python's; what no package brings is
imitated (``IMITATIONS``) and said to be.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from underpass.testing.sshd import free_port

HERE = Path(__file__).resolve().parent
PATIENCE = 40.0


@dataclass(frozen=True)
class Place:
    """Where one program runs."""

    home: Path
    port: int
    other: int
    """A second free port."""

    @property
    def own(self) -> dict[str, str]:
        """Variables of directories of its own: others' may be closed to whom it runs as."""
        return {"HOME": str(self.home), "TMPDIR": str(self.home)}


@dataclass(frozen=True)
class Program:
    """One origin of the corpus."""

    name: str
    start: Callable[[Place], tuple[str, ...]]
    """Its command."""
    finds: tuple[str, ...] = ()
    """Codes of what is found; () for a harmless one."""
    origin: str = "{port}"
    needs: str = ""
    """A command without which it cannot run."""
    prepare: Callable[[Place], None] = lambda place: None
    ready: str = "port"
    """``port``: it listens. ``socket``: its Unix socket is there."""
    drops: bool = False
    """It will not run as root."""


def app(name: str, *finds: str, origin: str = "{port}") -> Program:
    """One of ``apps``."""
    words = (sys.executable, str(HERE / "apps.py"), name)
    return Program(name, lambda place: (*words, str(place.port)), finds, origin)


def tool(name: str) -> str:
    """The path of a program, also where only root looks."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/postgresql/15/bin")
    if found is None:
        why = f"no {name}: make packages"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return found


def unprivileged() -> tuple[str, ...]:
    """Words before a command that will not run as root."""
    if os.geteuid() != 0:
        return ()
    return (tool("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups")


@asynccontextmanager
async def running(program: Program, home: Path) -> AsyncIterator[Place]:
    """The program, ready, at its place."""
    place = Place(home, free_port(), free_port())
    await asyncio.to_thread(program.prepare, place)
    words = program.start(place)
    words = (*(unprivileged() if program.drops else ()), tool(words[0]), *words[1:])
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env={**os.environ, **place.own, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,
        )
    try:
        await _wait(program, place, process)
        yield place
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _wait(program: Program, place: Place, process: asyncio.subprocess.Process) -> None:
    """Nothing is connected to: the first connection is preflight's, as in real life."""
    async with asyncio.timeout(PATIENCE):
        while not _listens(program, place):
            assert process.returncode is None, (place.home / "log").read_text(errors="replace")
            await asyncio.sleep(0.05)  # a foreign program tells nobody when it listens


def _listens(program: Program, place: Place) -> bool:
    if program.ready == "socket":
        return any(each.laddr == str(place.home / "s") for each in psutil.net_connections("unix"))
    return any(
        each.status == psutil.CONN_LISTEN and each.laddr.port == place.port
        for each in psutil.net_connections("tcp")
    )
