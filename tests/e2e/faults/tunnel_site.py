"""Relays and connectors as processes of their own, told by signals and heard by JSON Lines."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

from underpass.testing.certificates import Certificate

START_SECONDS = 40.0
"""Two interpreters and a proof, on a machine that is busy with other tests."""

MIB = 1 << 20

logger = logging.getLogger("measured")

P = TypeVar("P", bound="Program")


def measured(what: str, number: object) -> None:
    """Tell a number; to see it: pytest -o log_cli=true --log-cli-level=INFO."""
    logger.info("%s: %s", what, f"{number:.2f}" if isinstance(number, float) else number)


class Program:
    """One running `underpass`; every line of its output is read and kept."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.lines: list[dict[str, Any]] = []
        self._errors = errors
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name=f"output of {self.pid}")

    @property
    def errors(self) -> str:
        """What it has said to stderr."""
        return self._errors.read_text()

    async def wait_line(
        self, fits: Callable[[dict[str, Any]], bool], *, after: int = 0, within: float = 40.0
    ) -> dict[str, Any]:
        """The first line from number `after` on that fits."""
        seen = after
        try:
            async with asyncio.timeout(within):
                while True:
                    for line in self.lines[seen:]:
                        seen += 1
                        if fits(line):
                            return line
                    if self._reading.done():
                        break
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        told = [(line.get("event"), line.get("layer")) for line in self.lines]
        raise AssertionError(f"not heard within {within} s; heard {told}; {self.errors[-2000:]}")

    async def wait_event(
        self, event: str, *, layer: str | None = None, after: int = 0, within: float = 40.0
    ) -> dict[str, Any]:
        """The first change of that word (and layer) from line number `after` on."""

        def fits(line: dict[str, Any]) -> bool:
            return line.get("event") == event and layer in (None, line.get("layer"))

        return await self.wait_line(fits, after=after, within=within)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def wait_ended(self, within: float = 40.0) -> int:
        """Its exit code."""
        async with asyncio.timeout(within):
            code = await self.process.wait()
            await self._reading
            return code

    async def kill(self) -> None:
        """End it without a warning, stopped or not. Idempotent."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
        await self.wait_ended()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(json.loads(line))
            self._news.set()
        self._news.set()


class Relay(Program):
    """`underpass relay serve --dev`."""

    port: int
    url: str
    token_file: str


class PublicRelay(Relay):
    """`underpass relay serve --domain`."""

    chain: Path
    key: Path


class Connector(Program):
    """`underpass open`, after its first proof."""

    name: str
    url: str
    port: int
    token: str

    @property
    def credential(self) -> dict[str, str]:
        """The header that passes the gate."""
        return {"Authorization": f"Bearer {self.token}"}


class Site:
    """Relays, connectors and their files; all of them end with it."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self._runtime = runtime
        self._programs: list[Program] = []

    async def __aenter__(self) -> Site:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for program in reversed(self._programs):
            await program.kill()

    async def serve(self, *words: str, state: str = "relay", port: int = 0) -> Relay:
        """A development relay that serves."""
        place = self.directory / state
        listen = ("--listen", f"127.0.0.1:{port}", "--state", str(place))
        command = self.command("relay", "serve", "--dev", "--json", *listen, *words)
        relay = await self.start(Relay, command, f"{state}.err")
        ready = await relay.wait_event("ready", within=START_SECONDS)
        relay.url = ready["link_url"]
        relay.port = int(relay.url.rsplit(":", 1)[1])
        relay.token_file = ready["enrol_token_file"]
        return relay

    async def serve_public(
        self, domain: str, listen: str, certificate: Certificate, *, prefix: tuple[str, ...] = ()
    ) -> PublicRelay:
        """A relay with TLS, under names that only the programs of this site know."""
        chain, key = self.directory / "chain.pem", self.directory / "key.pem"
        chain.write_bytes(certificate.certificate)
        key.write_bytes(certificate.key)
        key.chmod(0o600)
        words = ("--domain", domain, "--listen", listen, "--tls-cert", str(chain))
        files = ("--tls-key", str(key), "--state", str(self.directory / "relay"), "--json")
        command = self.command("relay", "serve", *words, *files)
        relay = await self.start(PublicRelay, (*prefix, *command), "relay.err")
        ready = await relay.wait_event("ready", within=START_SECONDS)
        relay.url = ready["link_url"]
        relay.port = urlsplit(relay.url).port or 443
        relay.token_file = ready["enrol_token_file"]
        relay.chain, relay.key = chain, key
        return relay

    async def open(
        self,
        origin: str,
        *words: str,
        relay: str,
        enrol: str,
        owner: str = "owner",
        prefix: tuple[str, ...] = (),
    ) -> Connector:
        """A tunnel that is live. Who shares `owner` shares the key."""
        connector = await self.begin(
            origin, *words, relay=relay, enrol=enrol, owner=owner, prefix=prefix
        )
        live = await connector.wait_event("live", within=START_SECONDS)
        self.learn(connector, live)
        return connector

    async def begin(
        self,
        origin: str,
        *words: str,
        relay: str,
        enrol: str,
        owner: str = "owner",
        prefix: tuple[str, ...] = (),
    ) -> Connector:
        """`underpass open`, not waited for."""
        door = ("--relay", relay, "--enrol-token-file", enrol)
        token_file = self.directory / f"token-{len(self._programs)}"
        files = ("--token-file", str(token_file), "--json")
        command = self.command("open", origin, *door, *files, *words)
        return await self.start(
            Connector, (*prefix, *command), f"open-{len(self._programs)}.err", owner
        )

    def learn(self, connector: Connector, live: dict[str, Any]) -> None:
        """Take name, address and token from the first line."""
        connector.name = live["tunnel"]["name"]
        connector.url = live["tunnel"]["url"]
        connector.port = urlsplit(connector.url).port or 443
        file = live["access"]["token_file"]
        connector.token = Path(file).read_text().strip() if file else ""

    def command(self, *words: str) -> tuple[str, ...]:
        """An `underpass` command line."""
        return (sys.executable, "-m", "underpass", *words)

    async def start(
        self, kind: type[P], command: Iterable[str], errors: str, owner: str = "owner"
    ) -> P:
        """Start a program; it ends with the site."""
        path = self.directory / errors
        with path.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env=self.environment(owner),
                cwd=self.directory,
            )
        program = kind(process, path)
        self._programs.append(program)
        return program

    def sockets(self, owner: str) -> list[Path]:
        """The API sockets of a user that exist now."""
        return list(Path(self.environment(owner)["UNDERPASS_RUNTIME_DIR"]).rglob("*.sock"))

    def environment(self, owner: str) -> dict[str, str]:
        """A user without settings."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("UNDERPASS_")}
        home = self.directory / owner
        home.mkdir(exist_ok=True)
        return {
            **kept,
            "UNDERPASS_RUNTIME_DIR": str(self._runtime / owner),
            "UNDERPASS_STATE_DIR": str(home / "state"),
            "UNDERPASS_CONFIG": str(home / "underpass.toml"),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "NO_COLOR": "1",
        }


class MemoryWatch:
    """How far the resident memory of programs has risen above what it was at the start."""

    EVERY = 0.05

    def __init__(self, *programs: Program) -> None:
        self._watched = [psutil.Process(program.pid) for program in programs]
        self._start = [each.memory_info().rss for each in self._watched]
        self.peaks = [0] * len(programs)
        """The highest rise of each, in bytes."""

    def look(self) -> None:
        """Sample once."""
        for index, process in enumerate(self._watched):
            rise = process.memory_info().rss - self._start[index]
            self.peaks[index] = max(self.peaks[index], rise)

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(self.EVERY)

    async def __aenter__(self) -> MemoryWatch:
        self._watching = asyncio.create_task(self._watch(), name="memory watch")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self.look()


OWN_NAMES = """
mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"
"""


class Names:
    """What the names of hosts mean to one program, changed while it runs. Needs root."""

    def __init__(self, directory: Path) -> None:
        self._hosts = directory / "hosts"
        self._resolver = directory / "resolv.conf"
        # nobody serves names there: what the file does not know fails
        self._resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        self._hosts.write_text("")

    @property
    def prefix(self) -> tuple[str, ...]:
        """Before the command line of a program that is to know these names alone."""
        shell = ("unshare", "--mount", "sh", "-c", OWN_NAMES)
        return (*shell, str(self._hosts), str(self._resolver))

    def mean(self, address: str, *names: str) -> None:
        """From now on these names are all there are. None: no name resolves."""
        # written in place: a bind mount shows the file, not its path
        with self._hosts.open("r+") as file:
            file.truncate()
            file.write(f"{address} {' '.join(names)}\n" if names else "")
