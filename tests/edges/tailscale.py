"""Real tailscaled processes in userspace mode: no root, no interface, no word to the internet."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.edges.bore import path_with_engines

PATIENCE = 40.0
"""Seconds for any one event; a wait that succeeds is never that long."""

QUIET = {
    "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
    "TS_DISABLE_PORTMAPPER": "1",
    "TS_ASSUME_NETWORK_UP_FOR_TEST": "1",
    "TS_NO_LOGS_NO_SUPPORT": "true",
}
"""Variables that keep it from asking anybody outside; the first makes it panic if it does."""


def need(*programs: str) -> None:
    """Skip the test where one of them is missing; in CI that is a failure."""
    for program in programs:
        if shutil.which(program, path=path_with_engines()) is None:
            why = f"no {program}: make engines"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


class Running:
    """A process whose words go to a file. Bound to no event loop: it may outlive a test's."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @classmethod
    def start(cls, words: tuple[str, ...], *, log: Path, environment: Mapping[str, str]) -> Running:
        """Run it; its input stays open until it is killed."""
        program = shutil.which(words[0], path=environment.get("PATH"))
        assert program is not None
        with open(log, "ab") as file:
            process = subprocess.Popen(
                (program, *words[1:]),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env=dict(environment),
            )
        return cls(process, log)

    async def wait_for(self, words: str) -> str:
        """Wait until it has said ``words``; returns all that it has said."""
        async with asyncio.timeout(PATIENCE):
            while True:
                said = self.log.read_text()
                if words in said:
                    return said
                assert self.process.poll() is None, said[-3000:]
                await asyncio.sleep(0.02)  # a file tells nobody that it grew

    def kill(self) -> None:
        """End it at once. Idempotent."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Node:
    """One node: its daemon, and the user's own command for it."""

    tun = "userspace-networking"
    """The interface it carries the tailnet on; a name other than this one needs root."""

    prefix: tuple[str, ...] = ()
    """Words before the daemon's own: where it is to run."""

    def __init__(self, directory: Path, name: str, control: str, ca: Path) -> None:
        """``directory`` has a short path: a socket is made in it."""
        self.name = name
        self.control = control
        self.state = directory / name
        self.socket = directory / f"{name}.sock"
        self.environment = {
            **QUIET,
            "PATH": path_with_engines(),
            "HOME": str(directory),
            "SSL_CERT_FILE": str(ca),
        }
        self._daemon: Running | None = None

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._daemon is not None
        return self._daemon.process.pid

    async def start(self) -> None:
        """Start the daemon; returns when it answers."""
        need("tailscaled", "tailscale")
        self.state.mkdir(exist_ok=True)
        self._daemon = Running.start(
            (
                *self.prefix,
                "tailscaled",
                f"--tun={self.tun}",
                f"--statedir={self.state}",
                f"--socket={self.socket}",
                "--port=0",
                "--no-logs-no-support",
            ),
            log=self.state / "log",
            environment=self.environment,
        )
        async with asyncio.timeout(PATIENCE):
            while not self.socket.exists() or (await self.run("status", "--json"))[0] != 0:
                assert self._daemon.process.poll() is None, self._daemon.log.read_text()
                await asyncio.sleep(0.05)  # nobody tells when the socket is there

    async def rejoin(self, key: str) -> None:
        """Sign in again."""
        await self.join(key, "--force-reauth")

    async def join(self, key: str, *more: str) -> None:
        """Join the tailnet with an auth key, given by file."""
        path = self.state / "key"
        path.write_text(key)
        code, out = await self.run(
            *("up", *more, f"--login-server={self.control}", f"--auth-key=file:{path}"),
            *(f"--hostname={self.name}", "--accept-dns=false", "--timeout=30s", "--json"),
            *(() if self.tun == Node.tun else ("--netfilter-mode=off",)),
        )
        path.unlink()
        assert code == 0, out

    def stop(self) -> None:
        """Kill the daemon; its socket goes with it, as after a reboot. Idempotent."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.kill()
        self.socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop the daemon by a signal: it runs, and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of ``tailscale`` with these words."""
        process = await asyncio.create_subprocess_exec(
            *("tailscale", f"--socket={self.socket}", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def ask(self, *words: str) -> Any:
        """What ``tailscale`` answers, as JSON."""
        code, out = await self.run(*words)
        assert code == 0, out
        return json.loads(out)

    async def status(self) -> dict[str, Any]:
        """``tailscale status --json``."""
        return dict(await self.ask("status", "--json"))

    async def wait_state(self, state: str) -> dict[str, Any]:
        """Wait until its ``BackendState`` is ``state``."""
        async with asyncio.timeout(PATIENCE):
            while True:
                if (found := await self.status())["BackendState"] == state:
                    return found
                await asyncio.sleep(0.05)
