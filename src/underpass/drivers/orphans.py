"""Which programs and directories are ours, and which of them a killed process of ours has left.

On Linux the kernel ends our programs with us; elsewhere, and for files everywhere, the next of our
processes does it. A process is known by its id and its start time together, since ids come again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

OWNER: Final = "owner.json"
PROGRAM: Final = "program.json"

PREFIXES: Final = ("bridge-", "engine-", "reach-")
"""Names of the directories that one ``open`` or ``reach`` makes for itself."""

SAME_SECONDS: Final = 0.05
# Start times are told in ticks of 10 ms and may be rounded differently.


def claim(directory: Path) -> None:
    """Say that ``directory`` is this process's own."""
    _write(directory / OWNER, os.getpid())


def note_program(directory: Path, pid: int) -> None:
    """Say that ``pid`` is the program of ``directory``; the one before is forgotten."""
    _write(directory / PROGRAM, pid)


def forget_program(directory: Path) -> None:
    """Say that the program has ended. Idempotent."""
    with suppress(OSError):
        (directory / PROGRAM).unlink(missing_ok=True)


def sweep(runtime_dir: Path) -> list[str]:
    """End programs and remove directories whose owners have died; returns what was done."""
    return [done for directory in _orphaned(runtime_dir) for done in _remove(directory)]


def owners(runtime_dir: Path) -> frozenset[int]:
    """Processes of ours that carry tunnels, or make services local, by foreign programs."""
    return frozenset(process.pid for process in _recorded(runtime_dir, OWNER))


def programs(runtime_dir: Path) -> frozenset[int]:
    """Programs that our processes run, and all below them: exactly what is ours of an engine."""
    found: set[int] = set()
    for process in _recorded(runtime_dir, PROGRAM):
        found.add(process.pid)
        with suppress(psutil.Error):
            found |= {each.pid for each in process.children(recursive=True)}
    return frozenset(found)


def _recorded(runtime_dir: Path, name: str) -> Iterator[psutil.Process]:
    for directory in sorted(runtime_dir.iterdir()) if runtime_dir.is_dir() else ():
        if directory.name.startswith(PREFIXES) and not directory.is_symlink():
            record = _read(directory / name)
            process = None if record is None else _living(record)
            if process is not None:
                yield process


def _orphaned(runtime_dir: Path) -> Iterator[Path]:
    for directory in sorted(runtime_dir.iterdir()) if runtime_dir.is_dir() else ():
        if directory.name.startswith(PREFIXES) and not directory.is_symlink():
            owner = _read(directory / OWNER)
            # Without a record it may be somebody's who is just about to write it.
            if owner is not None and _living(owner) is None:
                yield directory


def _remove(directory: Path) -> Iterator[str]:
    record = _read(directory / PROGRAM)
    program = None if record is None else _living(record)
    if program is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
            yield f"ended {program.pid}"
    shutil.rmtree(directory, ignore_errors=True)
    yield f"removed {directory.name}"


def _living(record: dict[str, Any]) -> psutil.Process | None:
    with suppress(psutil.Error, KeyError, TypeError, ValueError):
        process = psutil.Process(int(record["pid"]))
        is_same = abs(process.create_time() - float(record["started"])) < SAME_SECONDS
        if is_same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _write(path: Path, pid: int) -> None:
    with suppress(psutil.NoSuchProcess, OSError):
        path.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}))


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes()[:4096])
        return found if isinstance(found, dict) else None
    return None
