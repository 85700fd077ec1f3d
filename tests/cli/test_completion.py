"""What the Tab key offers, in the shells themselves."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from pathlib import Path

import pytest
from underpass_tests_kept import KeptTunnel

from underpass.api.server import ApiServer


@pytest.fixture
async def tools(runtime):
    """One tunnel, open."""
    async with ApiServer(runtime / "open-tools-1.sock", {"tools": KeptTunnel("tools")}):
        yield


async def offered(underpass, *words: str, **more: str) -> list[str]:
    done = await underpass(
        _UNDERPASS_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(("underpass", *words)),
        COMP_CWORD=str(len(words)),
        **more,
    )
    assert done.err == ""
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


@pytest.mark.parametrize("words", ["show to", "close to", "requests to", "reach to", "prove to"])
@pytest.mark.usefixtures("tools")
async def test_names_of_open_tunnels(underpass, words):
    assert await offered(underpass, *words.split()) == ["tools"]


async def test_names_of_variables_and_no_value(underpass):
    words = ("open", "'mcp+stdio:x'", "--pass-env", "CANARY_K")
    assert await offered(underpass, *words, CANARY_KEY="hush") == ["CANARY_KEY"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("clo", ["close"]),
        ("relay s", ["serve"]),
        ("open 3001 --engi", ["--engine", "--engine-option"]),
        ("open 3001 --engine t", ["tailscale"]),
        ("changes 3001 --engine ssh", ["ssh", "ssh-service"]),
        ("open 3001 --gate b", ["bearer", "basic"]),
        ("open 3001 --gate bearer+i", ["bearer+ip"]),
        ("open 3001 --gate /mcp=oa", ["/mcp=oauth"]),
        ("open 3001 --gate /healthz=op", ["/healthz=open"]),
        ("open 3001 --gate op", []),
        ("errors no-such-tu", ["no-such-tunnel"]),
        ("advise --visitor w", ["webhook"]),
    ],
)
async def test_words_of_commands(underpass, words, found):
    assert await offered(underpass, *words.split()) == found


async def test_a_file_with_a_mistake_is_not_told_at_each_tab(underpass, tmp_path):
    (tmp_path / "underpass.toml").write_text("[open\n")
    assert await offered(underpass, "open", "--publ") == ["--public"]
    assert (await underpass("open", "3001")).code == 2


@pytest.fixture
def on_path(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The same user with the command on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "underpass").write_text(f'#!/bin/sh\nexec {sys.executable} -m underpass "$@"\n')
    (folder / "underpass").chmod(0o755)
    return {**environment, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb"}


async def answer(environment: dict[str, str], *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, env=environment
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    return out.decode()


async def test_bash_takes_its_script(on_path):
    script = (
        "source <(underpass completion bash); complete -p underpass;"
        "COMP_WORDS=(underpass clo); COMP_CWORD=1;"
        "_underpass_completion underpass; echo ${COMPREPLY[@]}"
    )
    told = (await answer(on_path, "bash", "--norc", "-c", script)).splitlines()
    assert told[0].endswith("-F _underpass_completion underpass")
    assert told[1] == "close"


@pytest.mark.fish
async def test_fish_takes_its_script(on_path):
    script = "underpass completion fish | source; complete -C 'underpass clo'"
    told = await answer(on_path, "fish", "--no-config", "-c", script)
    assert told == "close\tClose a tunnel.\n"


@pytest.mark.zsh
async def test_zsh_takes_its_script(on_path):
    """Completion in zsh is its line editor's: so a terminal, and the key itself."""
    typed = "autoload -U compinit; compinit -u; source <(underpass completion zsh); echo rea''dy\n"
    here, there = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *("zsh", "-f", "-i"),
        stdin=there,
        stdout=there,
        stderr=there,
        env=on_path,
        start_new_session=True,
    )
    os.close(there)
    try:
        os.write(here, typed.encode())
        await asyncio.to_thread(read_until, here, b"ready")
        os.write(here, b"underpass clo\t")
        await asyncio.to_thread(read_until, here, b"underpass close")
    finally:
        process.kill()
        await process.wait()
        os.close(here)


def read_until(terminal: int, wanted: bytes) -> None:
    import select
    import time

    seen, until = b"", time.monotonic() + 30
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"{wanted!r} did not come: {seen!r}"
        seen += os.read(terminal, 4096)
