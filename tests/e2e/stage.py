"""A stage for whole stories: one user with a home of her own, and programs that she really runs.

    relay = await stage.relay()                       # `underpass relay serve --dev --json`
    tunnel = await stage.open("3001", *relay.link)    # `underpass open … --json`, live by then
    done = await stage.run("list", "--json")          # a command that ends
    assert (await tunnel.stop()) == 130
    assert await stage.leftovers() == []

Nothing here imports the product's inside: it is met as its users meet it. What every program wrote,
except where a secret was asked for by name, is recorded for the suite's canary.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any
from urllib.parse import urlsplit

from tests.canary import record_output, record_secret_file

PATIENCE = 40.0
"""Seconds for any one event: a crowded machine may be slow, a wait that succeeds never is."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a program did that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The objects it printed."""
        return [json.loads(line) for line in self.out.splitlines()]


class Program:
    """A program that goes on. Its output is read all the time; nothing of it is lost."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._news = asyncio.Event()
        self._read = 0
        assert process.stdout is not None
        assert process.stderr is not None
        self._pumps = [
            asyncio.create_task(self._pump(process.stdout, self.out), name="read stdout"),
            asyncio.create_task(self._pump(process.stderr, self.err), name="read stderr"),
        ]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def objects(self) -> list[Any]:
        """All JSON objects so far."""
        return [json.loads(line) for line in self.out]

    async def next_line(self, seconds: float = PATIENCE) -> str:
        """The next line of stdout that nobody has asked for yet; "" at its end."""
        async with asyncio.timeout(seconds):
            while self._read >= len(self.out):
                if self._pumps[0].done():
                    return ""
                self._news.clear()
                await self._news.wait()
        self._read += 1
        return self.out[self._read - 1]

    async def event(self, name: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next object whose ``event`` is ``name``; others before it are passed over."""
        async with asyncio.timeout(seconds):
            while line := await self.next_line(seconds):
                found = json.loads(line)
                if found.get("event") == name:
                    return dict(found)
        raise AssertionError(f"no {name!r} before the end:\n{''.join(self.out + self.err)}")

    async def until(self, wanted: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until ``wanted`` holds; it is asked again after each line of output."""
        async with asyncio.timeout(seconds):
            while not wanted():
                self._news.clear()
                await self._news.wait()

    def send_signal(self, number: Signals) -> None:
        """Send it, unless it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def ended(self, seconds: float = PATIENCE) -> Done:
        """Wait for its end, and for the last of its output."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await asyncio.gather(*self._pumps)
        return Done(code, "".join(self.out), "".join(self.err))

    async def stop(self, number: Signals = Signals.SIGINT) -> int:
        """End it by a signal; returns its exit code."""
        self.send_signal(number)
        return (await self.ended()).code

    async def _pump(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        while line := await stream.readline():
            lines.append(line.decode(errors="replace"))
            self._news.set()
        self._news.set()


class Tunnel(Program):
    """A running ``underpass open --json``; ``first`` is its first object once it is live."""

    first: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.first["tunnel"]["name"])

    @property
    def url(self) -> str:
        return str(self.first["tunnel"]["url"])

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def token_file(self) -> Path:
        return Path(self.first["access"]["token_file"])

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    @property
    def bearer(self) -> dict[str, str]:
        """Headers of a visitor who may pass."""
        return {"Authorization": f"Bearer {self.token}"}


class Relay(Program):
    """A running ``underpass relay serve --json``."""

    ready: dict[str, Any]
    state: Path
    trust: tuple[str, ...] = ()
    """Options by which connectors recognise it."""

    @property
    def url(self) -> str:
        return str(self.ready["link_url"])

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def link(self) -> tuple[str, ...]:
        """What `open` needs to use it."""
        token = str(self.ready["enrol_token_file"])
        return ("--relay", self.url, "--enrol-token-file", token, *self.trust)


class Stage:
    """One user: her directories, her environment, and every program she started."""

    def __init__(self, home: Path, runtime: Path) -> None:
        """``runtime`` is a short path, since those of sockets are limited."""
        self.home = home
        self.runtime = runtime
        self.state = home / "state"
        kept = {name: text for name, text in os.environ.items() if not _is_setting(name)}
        self.environment = {
            **kept,
            "UNDERPASS_RUNTIME_DIR": str(runtime),
            "UNDERPASS_STATE_DIR": str(self.state),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "NO_COLOR": "1",
        }
        self._programs: list[tuple[Program, tuple[str, ...]]] = []

    def somebody_else(self, name: str) -> Stage:
        """Another user on the same machine: another key, other tunnels."""
        home, runtime = self.home / name, self.runtime / name
        home.mkdir()
        runtime.mkdir(mode=0o700)
        other = Stage(home, runtime)
        other._programs = self._programs
        return other

    async def spawn(
        self,
        *words: str,
        kind: type[Program] = Program,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        listens: bool = False,
    ) -> Any:
        """Start any program; it is ended with the stage at the latest. ``listens``: to what is
        written to its ``process.stdin``."""
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE if listens else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment, **(environment or {})},
            cwd=cwd or self.home,
            limit=1 << 22,
        )
        program = kind(process)
        self._programs.append((program, words))
        return program

    async def start(self, *words: str, kind: type[Program] = Program, **variables: str) -> Any:
        """Start a command of ours."""
        command = (sys.executable, "-m", "underpass", *words)
        return await self.spawn(*command, kind=kind, environment=variables)

    async def run(self, *words: str, seconds: float = PATIENCE, **variables: str) -> Done:
        """Run a command of ours to its end."""
        done: Done = await (await self.start(*words, **variables)).ended(seconds)
        return done

    async def open(self, *words: str, **variables: str) -> Tunnel:
        """`underpass open … --json`, live when this returns."""
        tunnel: Tunnel = await self.start("open", *_with_json(words), kind=Tunnel, **variables)
        tunnel.first = await tunnel.event("live")
        if file := tunnel.first["access"]["token_file"]:
            record_secret_file(file)
        return tunnel

    async def relay(
        self,
        *words: str,
        state: Path | None = None,
        listen: str = "127.0.0.1:0",
        mode: Iterable[str] = ("--dev",),
    ) -> Relay:
        """`underpass relay serve … --json`, ready when this returns."""
        directory = state or self.home / "relay"
        where = ("--listen", listen, "--state", str(directory), "--json")
        relay: Relay = await self.start("relay", "serve", *mode, *where, *words, kind=Relay)
        relay.ready = await relay.event("ready")
        relay.state = directory
        record_secret_file(relay.ready["enrol_token_file"])
        return relay

    async def leftovers(self, seconds: float = 15.0) -> list[str]:
        """Sockets, files and processes that should not be there; [] as soon as there are none."""
        found = self._look()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while found:
                    # What a process leaves is gone when it is reaped; nobody tells us of that.
                    await asyncio.sleep(0.05)
                    found = self._look()
        return found

    async def processes_gone(self) -> None:
        """Wait until no program of this user runs any more."""
        async with asyncio.timeout(PATIENCE):
            while processes_with(str(self.runtime)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def strike(self) -> None:
        """End whatever still runs, and hand its output to the canary."""
        for program, words in self._programs:
            if program.process.returncode is None:
                program.send_signal(Signals.SIGKILL)
            done = await program.ended()
            if "--show-token" not in words:
                record_output(" ".join(words[:6]), done.out + done.err)
        self._programs.clear()

    def _look(self) -> list[str]:
        files = [path for path in self.runtime.rglob("*") if not path.is_dir()]
        files += (self.state / "tokens").glob("*")
        return [str(path) for path in files] + processes_with(str(self.runtime))


def processes_with(mark: str) -> list[str]:
    """Living processes in whose environment ``mark`` stands as the runtime directory."""
    wanted = f"UNDERPASS_RUNTIME_DIR={mark}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted not in (process / "environ").read_bytes().split(b"\0"):
                continue
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            found.append(f"{process.name}: {command}")
    return found


def tool(name: str) -> str:
    """The path of a program that the tests need; asked for by marks before."""
    found = shutil.which(name)
    assert found is not None, f"{name} is needed: make packages"
    return found


def _with_json(words: tuple[str, ...]) -> tuple[str, ...]:
    at = words.index("--") if "--" in words else len(words)
    return (*words[:at], "--json", *words[at:])


def _is_setting(name: str) -> bool:
    return name.startswith("UNDERPASS_") or name.lower() in ("https_proxy", "no_proxy")
