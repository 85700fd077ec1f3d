"""Programs that a benchmark starts: each with its log, its memory, and its end by its own pid."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 30.0
"""Seconds for a program to come up; the first start of a Python program reads its files."""
GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL."""


class NotReady(Exception):
    """A program did not come up; the text has the end of its log."""


class Program:
    """One program, running from the moment it is made until `stop`."""

    def __init__(
        self,
        argv: Iterable[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """The program and all it has started that still runs."""
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory(self) -> int:
        """Bytes of memory that the whole tree has filled itself.

        Pages of program files do not count, since how much of them is whose depends on who else
        runs the same program; pages shared after a fork count once.
        """
        total = 0
        for process in self.tree():
            try:
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            except OSError:  # ended meanwhile
                continue
            for line in rollup.splitlines():
                if line.startswith("Pss_Anon:"):
                    total += int(line.split()[1]) * 1024
        return total

    def cpu(self) -> float:
        """Seconds of CPU, user and system, of all of the tree that still runs."""
        total = 0.0
        for process in self.tree():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def wait_json(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line of its output that is a JSON object of which `is_it` holds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            running = self.is_running
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith("{") and line.endswith("}"):
                    record: dict[str, Any] = json.loads(line)
                    if is_it(record):
                        return record
            if not running or time.monotonic() > deadline:
                raise self.failure()
            time.sleep(0.003)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Asks every few milliseconds; raises `NotReady` if the program ends or time is up."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if not self.is_running or time.monotonic() > deadline:
                raise self.failure()
            time.sleep(0.003)

    def failure(self) -> NotReady:
        tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return NotReady(f"{Path(self.argv[0]).name} is not ready: {' | '.join(tail) or 'silent'}")

    def kill(self) -> None:
        """SIGKILL to it and all it has started, and waits."""
        self._end(self.tree())
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left of the tree. Idempotent."""
        tree = self.tree()
        if self.is_running:
            self._process.terminate()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        self._end(tree)
        self._process.wait()

    @staticmethod
    def _end(tree: list[psutil.Process]) -> None:
        for process in tree:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(tree, GRACE)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
