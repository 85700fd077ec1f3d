"""Two hundred hostile strings in every option of the drivers that run ssh, autossh and bore.

What reaches a program is recorded by a program that does nothing else, and the files that are
written for ssh are read by the real one.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from underpass.cli.main import main
from underpass.drivers.foreign_engine import write_files
from underpass.drivers.plans import DoorAddress, Plan, Site
from underpass.drivers.process import minimal, run_to_end
from underpass.drivers.registry import load
from underpass.model.errors import Misuse
from underpass.model.spec import parse_spec
from underpass.testing.hostile import HOSTILE

RECORDER = """#!/bin/sh
# Writes down its words, each with a NUL behind it, and fails; for versions it says what is wanted.
name=${{0##*/}}
printf '%s\\0' "$name" "$@" > "{place}/$$.words"
case "$1" in
  -V) echo 'OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.1' >&2; exit 0 ;;
  --version) echo 'bore-cli 0.6.0'; exit 0 ;;
  -G) exit 0 ;;
esac
exit 1
"""

SSH = {"via": "alice@bastion:2222,bob@inner", "config": "user"}
SSH_OPTIONS = (
    *("via", "bind", "port", "url", "identity", "certificate", "known-hosts", "trust", "config"),
    "autossh",
)
SERVICE = {"via": "nokey@localhost.run", "token-env": "TOKEN"}
SERVICE_OPTIONS = (
    *("via", "name", "port", "scheme", "domain", "output", "token-env", "identity"),
    *("known-hosts", "trust"),
)
BORE = {"via": "bore.example.com"}
BORE_OPTIONS = ("via", "port", "secret-env", "client")

NEVER = ("localcommand", "knownhostscommand", "remotecommand", "proxyusefdpass", "sendenv")


class Recorder:
    """Programs on a PATH that write their words down."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.programs = place / "bin"
        self.programs.mkdir()
        for name in ("ssh", "autossh", "bore"):
            path = self.programs / name
            path.write_text(RECORDER.format(place=place))
            path.chmod(0o755)
        self.path = f"{self.programs}:/usr/bin:/bin"

    def take(self) -> list[list[str]]:
        """What was recorded since, a list of words for each start."""
        found = []
        for path in self.place.glob("*.words"):
            found.append(path.read_text().split("\0")[:-1])
            path.unlink()
        return found


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    place = Path(tempfile.mkdtemp(prefix="up-"))
    yield Recorder(place)
    shutil.rmtree(place)


def site(recorder: Recorder, options: dict[str, str]) -> Site:
    directory = recorder.place / "run"
    directory.mkdir(exist_ok=True)
    return Site(
        "tools",
        directory,
        options=options,
        environment={"PATH": recorder.path, "TOKEN": "t0ken", "HOME": str(recorder.place)},
        door=DoorAddress(unix=directory / "door.sock", port=4_000),
    )


async def play(recorder: Recorder, engine: str, options: dict[str, str]) -> Plan | None:
    """Detect, plan and start, as an ``open`` does; None: refused before anything was started."""
    driver, here, spec = load(engine), site(recorder, options), parse_spec("3001")
    try:
        driver.plan(spec, here)
    except Misuse:
        return None
    here = replace(here, detection=await driver.detect(here))
    plan = driver.plan(spec, here)
    write_files(plan)
    await run_to_end(
        plan.argv,
        environment={**minimal(here.environment), **plan.environment},
        directory=here.directory,
        seconds=10.0,
    )
    return plan


def flags(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("-")}


def judge(recorded: list[list[str]], usual: set[str], text: str) -> None:
    """Every word stays a word, and none of them is a flag that a plain name would not bring."""
    for words in recorded:
        assert flags(words) <= usual, (text, words)
        for word in words:
            assert word.isprintable(), (text, words)
        if len(text) > 3 and not text.isalnum():
            carriers = [word for word in words if text in word]
            assert len(carriers) <= 1, (text, words)


async def usual_flags(recorder: Recorder, engine: str, *options: dict[str, str]) -> set[str]:
    """The flags that programs get for options without malice: the control."""
    found: set[str] = set()
    for each in options:
        assert await play(recorder, engine, each) is not None
        recorded = recorder.take()
        assert recorded
        found |= {flag for words in recorded for flag in flags(words)}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("option", SSH_OPTIONS)
async def test_no_option_of_ssh_brings_a_flag_or_a_second_word(
    recorder: Recorder, option: str
) -> None:
    full = {**SSH, "port": "1", "identity": "/i", "certificate": "/c"}
    usual = await usual_flags(recorder, "ssh", full, {**full, "autossh": "yes"})
    assert {"-G", "-R", "-M"} <= usual
    started = 0
    for text in HOSTILE:
        plan = await play(recorder, "ssh", {**full, option: text})
        judge(recorder.take(), usual | {"-l", "-p"}, text)
        if plan is not None:
            started += 1
            judge_configuration(plan, text)
    assert started < len(HOSTILE) // 2


def judge_configuration(plan: Plan, text: str) -> None:
    """The real ssh reads the written file: nothing in it runs a command or leads elsewhere."""
    config = plan.files[0].path
    for hop in ("hop-0", plan.argv[-1]):
        done = subprocess.run(
            ["ssh", "-G", "-F", str(config), hop], capture_output=True, text=True, timeout=10
        )
        assert done.returncode == 0, (text, done.stderr)
        told = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
        assert not [word for word in NEVER if told.get(word, "none") not in ("none", "no")], text
        assert told.get("proxycommand", "none") == "none", (text, told)
        assert told["batchmode"] == told["exitonforwardfailure"] == "yes"
        assert told["stricthostkeychecking"] in ("true", "accept-new", "yes"), text


@pytest.mark.slow
@pytest.mark.parametrize("option", SERVICE_OPTIONS)
async def test_no_option_of_an_ssh_service_brings_a_flag_or_a_second_word(
    recorder: Recorder, option: str
) -> None:
    full = {**SERVICE, "identity": "/i", "known-hosts": "/k"}
    usual = await usual_flags(recorder, "ssh-service", full, {**full, "output": "json"})
    for text in HOSTILE:
        plan = await play(recorder, "ssh-service", {**full, option: text})
        judge(recorder.take(), usual, text)
        if plan is not None:
            judge_service(plan, text)


def judge_service(plan: Plan, text: str) -> None:
    config = plan.files[0].path
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), "hop-0"], capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0, (text, done.stderr)
    told = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert told.get("proxycommand", "none") == told.get("localcommand", "none") == "none", text


@pytest.mark.slow
@pytest.mark.parametrize("option", BORE_OPTIONS)
async def test_no_option_of_bore_brings_a_flag_or_a_second_word(
    recorder: Recorder, option: str
) -> None:
    usual = await usual_flags(recorder, "bore", {**BORE, "client": "program"})
    for text in HOSTILE:
        # Where it would be our own client that takes them, its words are seen in the plan alone.
        options = {**BORE, "client": "program", option: text}
        await play(recorder, "bore", options)
        judge(recorder.take(), usual, text)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("place", ["via", "hop", "target"])
def test_reach_gives_ssh_no_flag_and_no_second_word(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Through the command line itself."""
    monkeypatch.setenv("PATH", recorder.path)
    monkeypatch.setenv("UNDERPASS_RUNTIME_DIR", str(recorder.place / "runtime"))
    monkeypatch.chdir(recorder.place)
    usual = reach(recorder, "db:5432", "alice@bastion")
    known = {flag for words in usual for flag in flags(words)} | {"-p"}
    assert {"-V", "-G", "-L"} <= known
    for text in HOSTILE:
        if place == "via":
            recorded = reach(recorder, "db:5432", text)
        elif place == "hop":
            recorded = reach(recorder, "db:5432", f"alice@bastion,{text}")
        else:
            recorded = reach(recorder, text, "bastion")
        judge(recorded, known, text)


def reach(recorder: Recorder, target: str, via: str) -> list[list[str]]:
    assert main(["reach", "--via", f"ssh:{via}", "--timeout", "2s", "--json", "--", target])
    return recorder.take()  # it failed: the recorder carries nothing
