"""What is here: programs on the path and names of variables. Nothing is dialled."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping

from underpass.decide.here import Found, Here
from underpass.decide.programs import (
    PROGRAMS,
    RELAY_VARIABLE,
    accounts_of,
    read_version,
    version_words,
)

SECONDS = 2.0
"""For all programs together: each prints one line, and one that hangs must not hold advice up."""

_LONGEST = 4_096


def look(environ: Mapping[str, str]) -> Here:
    """Ask every known program on the path for its version, all at once."""
    asked = [(program, _ask(program, environ)) for program in PROGRAMS]
    deadline = time.monotonic() + SECONDS
    found = [_hear(program, process, deadline) for program, process in asked if process is not None]
    return Here(
        looked=True,
        programs=tuple(found),
        accounts=accounts_of(name for name, value in environ.items() if value),
        own_server=True if environ.get(RELAY_VARIABLE) else None,
    )


def _ask(program: str, environ: Mapping[str, str]) -> subprocess.Popen[str] | None:
    if (path := shutil.which(program, path=environ.get("PATH"))) is None:
        return None
    try:
        return subprocess.Popen(
            [path, *version_words(program)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError:
        # Executable by its mode, and not by the system: as good as not there.
        return None


def _hear(program: str, process: subprocess.Popen[str], deadline: float) -> Found:
    with process:
        try:
            printed, _ = process.communicate(timeout=max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            return Found(program)
    return read_version(program, printed[:_LONGEST])
