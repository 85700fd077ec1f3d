"""The suite's canary: no secret may show in a command line or in output while tests run.

A pytest plugin (``tests/conftest.py`` loads it). The process that directs the run looks at the
command lines of all processes all the time and keeps each once; tests hand in what their programs
wrote, and the secrets they met. At the end every secret is looked for in everything:

- anything of the form of a token of ours, known or not;
- each secret that a test recorded, in its plain, quoted, hexadecimal and base64 forms.

One sighting fails the run. ``tests/e2e/test_canary.py`` shows that it can.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from underpass.guard.secrets import TOKEN_PATTERN
from underpass.testing.canary import Canary

PLACE: Final = "UNDERPASS_TEST_CANARY"
"""The environment variable by which the processes of one run share a directory."""

INTERVAL: Final = 0.1
"""Seconds between two looks at all command lines: a tenth of the shortest of our commands."""

MOST_LINES: Final = 200_000
"""Different command lines kept; a run of the suite starts a few thousand processes."""

_TOKEN: Final = re.compile(rb"(?<![A-Za-z0-9_-])" + TOKEN_PATTERN.encode())


def record_output(name: str, text: str) -> None:
    """Hand in what a program wrote, for the search at the end."""
    _record("outputs", {"name": name, "text": text})


def record_secret(label: str, secret: str) -> None:
    """A secret to look for. Short ones are left out: they would be found anywhere."""
    if len(secret) >= 12:
        _record("secrets", {"label": label, "secret": secret})


def record_secret_file(path: str | Path) -> None:
    """The secrets that a token file holds: a token, ``USER:PASSWORD``, or a link's URL."""
    text = Path(path).read_text().strip()
    secret = text.rstrip("/").rpartition("/")[2] if "://" in text else text.rpartition(":")[2]
    record_secret(f"secret of {Path(path).name}", secret)


def _record(kind: str, facts: dict[str, str]) -> None:
    place = os.environ.get(PLACE)
    if place is not None:
        (Path(place) / kind / uuid.uuid4().hex).write_text(json.dumps(facts))


class CommandLines:
    """Every command line seen while it watches, each once."""

    def __init__(self) -> None:
        self.seen: dict[bytes, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="canary", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        """Look at all processes once; a look that fails is made good by the next."""
        try:
            processes = os.listdir("/proc")
        except OSError:
            return
        for process in processes:
            if not process.isdigit() or len(self.seen) >= MOST_LINES:
                continue
            with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as file:
                self.seen.setdefault(file.read(), process)


class Watch:
    """The plugin of the directing process."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.lines = CommandLines()
        self.texts: list[tuple[str, str]] = []
        for kind in ("outputs", "secrets"):
            (place / kind).mkdir()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what tests wrote that passed; what failed tests write is for their reader."""
        if report.passed:
            self.texts += [(f"{report.nodeid} ({name})", text) for name, text in report.sections]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search everything; a sighting fails the run."""
        self.lines.stop()
        self.findings = sorted(set(self._search()))
        if self.findings and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each sighting, without the secret."""
        if not self.findings:
            return
        terminalreporter.section("secrets were seen", sep="=", red=True)
        for line in self.findings:
            terminalreporter.line(line)

    def _search(self) -> Iterator[str]:
        canary = Canary()
        for number, facts in enumerate(self._recorded("secrets")):
            canary.watch_for(f"{facts['label']} #{number}", facts["secret"])
        places = [
            (f"command line of process {process}: {line[:60].split(bytes(1))[0]!r}", line)
            for line, process in self.lines.seen.items()
        ]
        places += [(name, text.encode()) for name, text in self.texts]
        places += [
            (f"output of {facts['name']}", facts["text"].encode())
            for facts in self._recorded("outputs")
        ]
        for where, content in places:
            if _TOKEN.search(content):
                yield f"something like a token in the {where}"
            for finding in canary.scan(texts={where: content}, processes=False):
                yield f"{finding.label} in the {where}"

    def _recorded(self, kind: str) -> Iterator[dict[str, str]]:
        for path in (self.place / kind).iterdir():
            yield json.loads(path.read_text())


def pytest_configure(config: pytest.Config) -> None:
    """Watch from the process that directs the run; workers only hand things in."""
    if hasattr(config, "workerinput"):
        return
    place = Path(tempfile.mkdtemp(prefix="underpass-canary-"))
    before = os.environ.get(PLACE)
    os.environ[PLACE] = str(place)
    watch = Watch(place)
    config.pluginmanager.register(watch, "underpass-canary")
    watch.lines.start()

    def end() -> None:
        if before is None:
            os.environ.pop(PLACE, None)
        else:
            os.environ[PLACE] = before
        shutil.rmtree(place, ignore_errors=True)

    config.add_cleanup(end)
