"""What keeps a tunnel from being opened: credentials, ports, quotas, nonsense; all told as such."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest, mock

from underpass.drivers.errors import ENGINE_EXIT_CODE
from underpass.model.errors import Misuse, Refused
from underpass.model.spec import parse_spec
from underpass.testing.driver_bench import DriverBench, children
from underpass.testing.driver_suite.steps import gone, refusal
from underpass.testing.hostile import HOSTILE

GARBAGE = r"""
import os, sys
sys.stdout.buffer.write(os.urandom(65536).replace(b"\n", b"") * 40 + b"\n\x1b[2Jhttps://evil.example\n")
sys.stderr.buffer.write(b"\xff\xfe\n" * 1000)
"""
"""What a program does that was replaced by nonsense: much of it, and then success."""


class Refusing:
    """A part of ``DriverSuite``."""

    async def test_a_wrong_credential_is_told_as_such(self, bench: DriverBench) -> None:
        options = bench.wrong_credential()
        if options is None:
            raise SkipTest("it has no credentials")
        before = set(children())
        error = await refusal(bench, options)
        assert not error.retryable, error
        assert error.hint, error
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_a_taken_port_is_told_as_such(self, bench: DriverBench) -> None:
        before = set(children())
        async with bench.taken_port() as options:
            error = await refusal(bench, options, timeout=3.0)
        assert "port" in error.message, error
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_a_quota_that_is_used_up_is_told_as_such(self, bench: DriverBench) -> None:
        before = set(children())
        async with bench.used_up() as options:
            error = await refusal(bench, options, timeout=8.0)
        assert error.exit_code in {ENGINE_EXIT_CODE, Refused.exit_code}, error
        assert {error.code, getattr(error, "reason", "")} & bench.quota_words, error
        assert error.hint, error
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_a_program_that_prints_garbage_is_refused_in_time(
        self, bench: DriverBench
    ) -> None:
        if not bench.program:
            raise SkipTest("no program carries it")
        before = set(children())
        stubs = bench.home / "stubs"
        stubs.mkdir()
        write_stub(stubs / bench.program, GARBAGE)
        path = f"{stubs}{os.pathsep}{os.environ['PATH']}"
        with mock.patch.dict(os.environ, PATH=path):
            error = await refusal(bench, bench.options(), timeout=8.0)
        assert error.code in {"engine-keeps-ending", "engine-missing", "engine-away"}, error
        assert error.message.isprintable(), error.message
        assert await gone(lambda: bench.leftovers(before)) == []

    async def test_hostile_options_are_refused_or_stay_one_harmless_word(
        self, bench: DriverBench
    ) -> None:
        driver, spec = bench.driver(), parse_spec("3001")
        for text in HOSTILE:
            for options in bench.hostile_options(text):
                try:
                    plan = driver.plan(spec, bench.site(options))
                except Misuse:
                    continue
                words = [*plan.argv, *(word for file in plan.files for word in lines_of(file))]
                for word in words:
                    assert word.isprintable(), (text, word)
                if text.startswith("-"):
                    assert not any(word.startswith(text) for word in words), (text, words)


def write_stub(path: Path, source: str) -> None:
    """Put a Python program at ``path``."""
    path.write_text(f"#!{sys.executable} -I\n{source}")
    path.chmod(0o755)


def lines_of(file: Any) -> list[str]:
    """The lines of a planned file, as a program would read them."""
    return [line.strip() for line in file.content.decode("utf-8", "replace").split("\n")]
