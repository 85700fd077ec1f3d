from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from underpass.testing.canary import BLOCK, Canary, Finding

SLEEPER = "import sys; print('up', flush=True); sys.stdin.read()"


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[int]:
    """A program that is up with these arguments and this environment; its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid


def test_control_a_secret_on_a_command_line_is_found() -> None:
    canary = Canary()
    with program("--token", canary.plant("token")) as pid:
        (finding,) = canary.scan(environments=False)
    assert (finding.label, finding.place) == ("token", "cmdline")
    assert finding.where.startswith(f"{pid} (")


def test_control_a_secret_in_an_environment_is_found() -> None:
    canary = Canary()
    with program(UNDERPASS_TOKEN=canary.plant("token")):
        assert [finding.place for finding in canary.scan()] == ["environ"]
        assert canary.scan(environments=False) == []


def test_nothing_is_found_where_no_secret_is(tmp_path: Path) -> None:
    canary = Canary()
    (tmp_path / "token").write_text(canary.plant("token"))
    (tmp_path / "log").write_text("opened tools\n")
    with program("--token-file", str(tmp_path / "token")):
        assert canary.scan(files=[tmp_path / "log"], texts={"stdout": b"live"}) == []


def test_control_the_watch_sees_a_program_that_has_ended_since() -> None:
    canary = Canary()
    secret = canary.plant("password")
    with canary.watch(interval=0.005), program(secret):
        while not canary.findings():
            time.sleep(0.001)
    assert canary.scan() == []
    assert {finding.label for finding in canary.findings()} == {"password"}


@pytest.mark.parametrize("lead", ["", "u", "us", "use", "user:"])
def test_a_secret_in_basic_credentials_is_found_at_any_alignment(lead: str) -> None:
    canary = Canary()
    text = base64.b64encode(f"{lead}{canary.plant('password')}!".encode())
    assert canary.scan(texts={"log": text}, processes=False) == [Finding("password", "text", "log")]


def test_a_secret_is_found_quoted_and_in_hexadecimal() -> None:
    canary = Canary()
    canary.watch_for("key", "a b/c+d")
    texts: dict[str, str | bytes] = {"url": "?key=a%20b%2Fc%2Bd", "hex": b"a b/c+d".hex().upper()}
    assert [finding.where for finding in canary.scan(texts=texts, processes=False)] == [
        "url",
        "hex",
    ]


def test_a_secret_is_found_across_the_border_of_two_blocks(tmp_path: Path) -> None:
    canary = Canary()
    log = tmp_path / "deep" / "log"
    log.parent.mkdir()
    log.write_bytes(b"." * (BLOCK - 10) + canary.plant("token").encode())
    found = canary.scan(files=[tmp_path, tmp_path / "missing"], processes=False)
    assert found == [Finding("token", "file", str(log))]


def test_a_finding_does_not_repeat_the_secret() -> None:
    canary = Canary()
    secret = canary.plant("token")
    found = canary.scan(texts={"log": secret}, processes=False)
    assert secret not in repr(found)
