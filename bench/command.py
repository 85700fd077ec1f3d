"""What a person waits for at our command line: CPU of `--help` and `list`, the first proof."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from bench.peers import Workplace
from bench.processes import NotReady, Program

COMMANDS = {
    "CPU of underpass --help": ("--help",),
    "CPU of underpass list --json": ("list", "--json"),
}
FIRST_PROOF = "first proof with the embedded relay"


def measure_commands(
    workplace: Workplace, turn: int, only: str
) -> Iterator[tuple[str, str, float | None, str]]:
    """Name, unit, value, and why there is none; once each."""
    state = workplace.folder / "commands"
    for folder in (state, state / "run"):
        folder.mkdir(exist_ok=True, mode=0o700)
    environment = {
        "UNDERPASS_STATE_DIR": str(state),
        "UNDERPASS_RUNTIME_DIR": str(state / "run"),
    }
    for name, arguments in COMMANDS.items():
        if only in name:
            seconds, code = _cpu_of(arguments, environment)
            why = "" if code == 0 else f"ended with {code}"
            yield name, "ms", seconds * 1000 if code == 0 else None, why
    if only in FIRST_PROOF:
        origin = str(workplace.origins.http_port)
        command = [sys.executable, "-m", "underpass", "open", origin, "--json"]
        start = time.perf_counter()
        program = Program(command, workplace.path("open.log"), environment=environment)
        try:
            program.wait_json(lambda record: record.get("event") == "live")
            yield FIRST_PROOF, "ms", (time.perf_counter() - start) * 1000, ""
        except NotReady as error:
            yield FIRST_PROOF, "ms", None, str(error)
        finally:
            program.stop()


def _cpu_of(arguments: tuple[str, ...], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds of CPU, user and system, of one command, and its exit code."""
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "underpass", *arguments],
        {**os.environ, **environment},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)
