"""The command line as a process, beside tunnels that the test keeps on real sockets."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.canary import record_output

_KEPT = "underpass_tests_kept"
if _KEPT not in sys.modules:
    # Tests are imported by path, so a module beside them has to be, too.
    _spec = importlib.util.spec_from_file_location(
        _KEPT, Path(__file__).parents[1] / "api" / "kept.py"
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[_KEPT] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_KEPT])


@dataclass(frozen=True, slots=True)
class Done:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short path, since those of sockets are limited."""
    directory = Path(tempfile.mkdtemp(prefix="up-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def environment(runtime: Path, tmp_path: Path) -> dict[str, str]:
    """A user without settings and without tunnels."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPASS_")}
    return {
        **kept,
        "UNDERPASS_RUNTIME_DIR": str(runtime),
        "UNDERPASS_STATE_DIR": str(tmp_path / "state"),
        "UNDERPASS_CONFIG": str(tmp_path / "config" / "underpass.toml"),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "NO_COLOR": "1",
    }


@pytest.fixture
def at_home(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same user for commands run inside the test's process; returns the working directory."""
    for name in [name for name in os.environ if name.startswith("UNDERPASS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def underpass(environment: dict[str, str], tmp_path: Path) -> Callable[..., Awaitable[Done]]:
    """Run ``python -m underpass`` to its end."""

    async def run(*words: str, **more: str) -> Done:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "underpass", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, **more},
            cwd=tmp_path,
        )
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode is not None
        if "--show-token" not in words:
            record_output(" ".join(words[:3]), out.decode() + err.decode())
        return Done(process.returncode, out.decode(), err.decode())

    return run
