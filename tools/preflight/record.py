# ruff: noqa: T201  a command: what it prints is its result
"""Writes down what real programs answer to preflight's questions.

    python tools/preflight/record.py               # all of them
    python tools/preflight/record.py serve marimo  # only these

Those that cost too much for each run of the tests are installed from their registries into
``~/.cache/underpass/preflight``, started once, and asked by preflight itself. What they answered is
kept in ``tests/guard/preflight/recorded.json``, with program, version and date, cut to what shows
that nothing else could be meant; the tests judge it. A program that is judged otherwise than its
recipe says is told of, and the exit code is 1.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from recipes import RECIPES, Place, Recipe

from underpass.gatehouse.preflight.look import Subject, ask_all
from underpass.guard.preflight.openness import openness_of
from underpass.guard.preflight.seen import Seen
from underpass.guard.preflight.signs import judge
from underpass.guard.preflight.table import WEB_SIGNS
from underpass.model.origin import parse_origin
from underpass.model.spec import TunnelSpec
from underpass.testing.sshd import free_port

HERE = Path(__file__).resolve().parent
FILE = HERE.parents[1] / "tests" / "guard" / "preflight" / "recorded.json"
PATIENCE = 90.0
BEGINNING = 240
"""Bytes kept of each body, besides what its signs look at."""
MISSING = (404, 405, 501)
"""Answers that say nothing."""


def install(recipe: Recipe) -> Path:
    """The directory of its packages, made if it is not there."""
    base = Path(os.environ.get("UNDERPASS_CACHE_DIR", "~/.cache/underpass")).expanduser()
    kept = base / "preflight" / re.sub(r"[^\w.=@-]", "-", recipe.package)
    if (kept / "complete").exists():
        return kept
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for package in recipe.package.split():
        registry, _, name = package.partition(":")
        ways = {"npm": _npm, "pypi": _pypi, "debian": _debian, "apt": _apt, "maven": _maven}
        ways["go"] = _go
        ways[registry](kept, name)
    for module in recipe.builds:
        gyp = Path(shutil.which("npm") or "npm").resolve().parents[1] / "node_modules/node-gyp"
        nodes = Path(shutil.which("node") or "node").resolve().parents[1]
        words = ("node", str(gyp / "bin/node-gyp.js"), "rebuild", f"--nodedir={nodes}")
        _run(words, kept / "node_modules" / module)
    (kept / "complete").touch()
    return kept


def _npm(kept: Path, name: str) -> None:
    if not (kept / "package.json").exists():
        (kept / "package.json").write_text('{"private": true}')
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--force")
    _run(("npm", "install", *quiet, name), kept)


def _pypi(kept: Path, name: str) -> None:
    if not (kept / "bin").exists():
        _run((sys.executable, "-m", "venv", str(kept)), kept)
    _run((str(kept / "bin" / "pip"), "install", "--quiet", name), kept)


def _debian(kept: Path, name: str) -> None:
    _run(("apt-get", "download", "-qq", name), kept)
    for package in kept.glob("*.deb"):
        _run(("dpkg", "-x", str(package), str(kept)), kept)


def _apt(kept: Path, name: str) -> None:
    _run(("dpkg", "-s", name), kept)


def _go(kept: Path, name: str) -> None:
    _run(("env", f"GOBIN={kept}", "go", "install", name), kept)


def _maven(kept: Path, name: str) -> None:
    shutil.copytree(HERE / name, kept, dirs_exist_ok=True)
    goals = ("compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
    _run(("mvn", "-q", "-B", *goals), kept)


def _run(words: tuple[str, ...], where: Path) -> None:
    subprocess.run(words, cwd=where, check=True, timeout=900, stdout=subprocess.DEVNULL)


def version(recipe: Recipe, kept: Path) -> str:
    """As the package itself has it."""
    registry, _, name = recipe.package.split()[0].partition(":")
    if registry == "go":
        return name.rpartition("@v")[2]
    if registry == "npm":
        name = name.rpartition("@")[0]
        told = json.loads((kept / "node_modules" / name / "package.json").read_text())
        return str(told["version"])
    if registry == "pypi":
        asks = f"import importlib.metadata as m; print(m.version({re.split('[[=]', name)[0]!r}))"
        words = [str(kept / "bin" / "python"), "-c", asks]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    if registry == "apt":
        words = ["dpkg-query", "-W", "-f", "${Version}", name]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout
    if registry == "debian":
        return next(kept.glob(f"{name}_*.deb")).name.split("_")[1].replace("%3a", ":")
    pom = (kept / "pom.xml").read_text()
    telling = pom.partition("<parent>" if "<parent>" in pom else "<dependencies>")[2]
    return telling.partition("<version>")[2].partition("<")[0]


async def answers(recipe: Recipe, place: Place) -> tuple[Seen, ...]:
    """What it says, once it listens."""
    environment = {**os.environ, "HOME": str(place.home), "GRADIO_ANALYTICS_ENABLED": "False"}
    running = []
    commands = [recipe.start(place)]
    if recipe.helper is not None:
        commands.insert(0, recipe.helper(place))
    try:
        for words in commands:
            with (place.home / "log").open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=place.home,
                    env=environment,
                    start_new_session=True,
                )
            running.append(process)
        await _listening(place.port)
        spec = TunnelSpec(parse_origin(str(place.port)), public=True)
        subject = Subject(
            spec.origin, spec.kind, spec.peer, openness_of(spec), None, lambda head: True
        )
        async with asyncio.timeout(PATIENCE):
            found = await ask_all(subject)
            while any(seen.status == 503 for seen in found):
                await asyncio.sleep(1)  # it still starts
                found = await ask_all(subject)
        return found
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while not any(  # noqa: ASYNC110
            each.status == psutil.CONN_LISTEN and each.laddr.port == port
            for each in psutil.net_connections("tcp")
        ):
            await asyncio.sleep(0.2)  # a foreign program tells nobody when it listens


def told(seen: Seen) -> dict[str, Any]:
    """An answer as it is kept."""
    signs = [sign for sign in WEB_SIGNS if seen.name in sign.asks]
    fields = {name for sign in WEB_SIGNS for name in sign.fields} | {"content-type"}
    kept = {name: seen.header(name).decode("latin-1") for name in sorted(fields)}
    spans = {(0, BEGINNING), *(span for sign in signs for span in sign.spans(seen))}
    if any(sign.members and sign.find(seen) for sign in signs):
        spans = {(0, len(seen.body))}  # JSON is read as a whole
    body = b"\n".join(seen.body[first:last] for first, last in _apart(spans))
    return {
        "ask": seen.name,
        "where": seen.where,
        "status": seen.status,
        "headers": {name: value for name, value in kept.items() if value},
        "body": body.decode(errors="replace"),
    }


def _apart(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes, each once."""
    apart: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if apart and first <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return apart


def record(recipe: Recipe) -> dict[str, Any]:
    """Install, start, ask and end it. Raises ``AssertionError`` for another judgement."""
    kept = install(recipe)
    with tempfile.TemporaryDirectory(prefix="preflight-") as home:
        place = Place(kept, Path(home), free_port(), free_port())
        for name, text in recipe.files:
            (place.home / name).parent.mkdir(parents=True, exist_ok=True)
            (place.home / name).write_text(text)
        found = asyncio.run(answers(recipe, place))
    findings = [each.code for each in judge(found, WEB_SIGNS)]
    statuses = {seen.name: seen.status for seen in found}
    assert findings == list(recipe.finds), f"it is judged {findings}, having answered {statuses}"
    return {
        "program": recipe.name,
        "package": recipe.package,
        "version": version(recipe, kept),
        "setting": recipe.setting,
        "on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "finds": findings,
        "missing": [seen.name for seen in found if seen.status in MISSING],
        "answers": [told(seen) for seen in found if seen.status not in MISSING],
    }


def main(names: list[str]) -> int:
    """Record what is named, or all; returns the exit code."""
    known = {each["program"]: each for each in json.loads(FILE.read_text())} if names else {}
    failed = 0
    for recipe in RECIPES:
        if names and recipe.name not in names:
            continue
        try:
            known[recipe.name] = record(recipe)
            print(recipe.name, known[recipe.name]["version"], *recipe.finds)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            print(f"{recipe.name}: {error!r}")
            failed = 1
    ordered = [known[each.name] for each in RECIPES if each.name in known]
    FILE.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
