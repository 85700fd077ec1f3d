"""Asking all engines: those that hang or break are named, and each tunnel is told once."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers import registry
from underpass.drivers.orphans import claim, note_program
from underpass.drivers.others import Running
from underpass.drivers.plans import ForeignTunnel, Site
from underpass.inventory.hidden import IN_WORDS
from underpass.inventory.look import ask_all, look, once, tidy
from underpass.testing.loopback_engine import LoopbackDriver

FOUND = ForeignTunnel("mine", "pid 7", "127.0.0.1:80", pid=7)


class Asked(LoopbackDriver):
    """A driver that answers as the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        if callable(self.answer):
            await asyncio.sleep(0)
            self.answer()
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        return (FOUND,)


def test_an_engine_that_hangs_is_named_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    answers = {
        "hangs": None,
        "blocks": stuck.wait,
        "breaks": RuntimeError("token hunter22"),
        "works": "well",
    }
    for word, answer in answers.items():
        monkeypatch.setitem(registry._registered, word, lambda answer=answer: Asked(answer))
    began = time.monotonic()
    found = look(tmp_path, tmp_path, {}, engines=tuple(answers), seconds=0.5)
    took = time.monotonic() - began
    stuck.set()
    assert took < 2.0
    assert found.silent == ("hangs", "blocks")
    assert found.broken == (("breaks", "RuntimeError"),)
    assert [tunnel.engine for tunnel in found.tunnels] == ["mine"]


def test_an_engine_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise ImportError("no")

    monkeypatch.setitem(registry._registered, "broken", broken)
    found = look(tmp_path, tmp_path, {}, engines=("broken", "nobody's"))
    assert [engine for engine, _ in found.broken] == ["broken", "nobody's"]


def test_who_answers_in_time_is_not_silent() -> None:
    answers = ask_all({"quick": lambda: [FOUND]}, 5.0)
    assert (answers.found, answers.silent, answers.broken) == ({"quick": [FOUND]}, [], {})


def test_of_two_who_know_the_same_program_and_of_parent_and_child_one_stays() -> None:
    service = ForeignTunnel("ssh-service", "pid 7", "127.0.0.1:80", pid=7)
    child = ForeignTunnel("ssh", "pid 8", "127.0.0.1:80", pid=8)
    other = ForeignTunnel("ssh", "pid 7", "db:5432", pid=7)
    parents = {8: 7, 7: 1}
    assert once([service, FOUND, child, other], parents.__getitem__) == [service, other]


def test_a_secret_among_words_is_a_risk_and_is_not_shown() -> None:
    words = ("bore", "local", "80", "--to", "h", "-s", "hunter22")
    told = ForeignTunnel("mine", "pid 7", "hunter22:80", "h", pid=7, risks=("of hunter22",))
    tidied = tidy(told, Running("bore", 2**22 + 1, words, "me", 0.0))
    assert "hunter22" not in repr(tidied)
    assert tidied.risks == ("of [redacted]", IN_WORDS)


def test_ours_is_what_our_processes_have_on_record_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "engine-x"
    directory.mkdir()
    claim(directory)
    sleeper = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        subprocess.Popen(sleeper, stdin=subprocess.PIPE) as ours,
        subprocess.Popen(sleeper, stdin=subprocess.PIPE) as theirs,
        socket.create_server(("127.0.0.1", 0)) as door,
        # Not listening, so that it is nobody's.
        socket.socket() as other,
    ):
        other.bind(("127.0.0.1", 0))
        note_program(directory, ours.pid)
        told = [
            ForeignTunnel("mine", "a", "a program of ours", pid=ours.pid),
            ForeignTunnel("mine", "b", "a child of this process, not ours", pid=theirs.pid),
            ForeignTunnel("mine", "c", f"http://127.0.0.1:{door.getsockname()[1]}, for good"),
            ForeignTunnel("mine", "d", f"http://127.0.0.1:{other.getsockname()[1]}, for good"),
        ]

        class Told(LoopbackDriver):
            async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
                return tuple(told)

        monkeypatch.setitem(registry._registered, "told", Told)
        found = look(tmp_path, tmp_path, {}, engines=("told",), seconds=20.0)
        assert [each.where for each in found.tunnels if each.engine == "mine"] == ["b", "d"]
