"""A real OpenSSH server for tests: own keys, own port, nothing of ``/etc/ssh`` or ``~/.ssh``.

    keys = SshKeys(directory)
    server = SshServer(directory / "bastion", keys)
    await server.start()                # and `stop`, `start` again: the same port and key

It serves the user who runs the tests. As root it needs ``/run/sshd``, which it makes.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from underpass.testing.ports import free_port

__all__ = [
    "SshKeys",
    "SshServer",
    "free_port",
    "make_key",
    "missing_for_sshd",
    "write_known_hosts",
]

PATIENCE = 10.0


def missing_for_sshd() -> str | None:
    """Why there can be no server here, or None: the reason to give a skipped test."""
    return None if _sshd() else "no sshd: apt-get install openssh-server"


def _sshd() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class SshKeys:
    """One user's key pair, and one that no server knows."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.known = directory / "id_known"
        self.unknown = directory / "id_unknown"
        for path in (self.known, self.unknown):
            make_key(path)

    @property
    def public(self) -> Path:
        """The known key's public half."""
        return self.known.with_name(self.known.name + ".pub")


def make_key(path: Path, *words: str) -> None:
    """An Ed25519 key pair without passphrase at ``path`` and ``path.pub``."""
    command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path))
    subprocess.run((*command, *words), check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)


class SshServer:
    """One sshd. ``start`` and ``stop`` as often as wanted."""

    def __init__(
        self,
        directory: Path,
        keys: SshKeys,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        lines: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        """``lines`` are more of sshd_config; ``prefix`` goes before the command, as in
        ``("ip", "netns", "exec", NAME)``; then ``port`` must be given."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.host = host
        self.port = port or free_port(host)
        self.user = getpass.getuser()
        self._prefix = tuple(prefix)
        self._process: asyncio.subprocess.Process | None = None
        make_key(directory / "host_key")
        (directory / "authorized_keys").write_bytes(keys.public.read_bytes())
        self._configuration = directory / "sshd_config"
        config = [
            f"Port {self.port}",
            f"ListenAddress {host}",
            f"HostKey {directory / 'host_key'}",
            f"AuthorizedKeysFile {directory / 'authorized_keys'}",
            f"PidFile {directory / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "GatewayPorts clientspecified",
            "ClientAliveInterval 5",
            "ClientAliveCountMax 2",
            "MaxStartups 100",
            *lines,
        ]
        self._configuration.write_text("\n".join(config) + "\n")

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.directory / "log"

    @property
    def known_hosts_line(self) -> str:
        """Its line for a known_hosts file."""
        kind, key, *_ = (self.directory / "host_key.pub").read_text().split()
        return f"[{self.host}]:{self.port} {kind} {key}\n"

    @property
    def where(self) -> str:
        """``USER@HOST:PORT``."""
        return f"{self.user}@{self.host}:{self.port}"

    async def start(self) -> None:
        """Serve; returns when connections are taken."""
        program = _sshd()
        assert program is not None, missing_for_sshd()
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        with open(self.log, "ab") as log:  # noqa: ASYNC230  (a test's file, opened for a child)
            self._process = await asyncio.create_subprocess_exec(
                *self._prefix,
                *(program, "-D", "-e", "-f", str(self._configuration)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(PATIENCE):
            while b"Server listening on" not in self.log.read_bytes()[self._read :]:
                assert self._process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)
        self._read = len(self.log.read_bytes())

    _read = 0

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        assert self._process is not None
        return self._process.pid

    def sessions(self) -> list[psutil.Process]:
        """The processes that serve connections, children of children included."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def cut(self) -> None:
        """Kill every connection's process; the server goes on listening."""
        for process in self.sessions():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    async def stop(self) -> None:
        """End it and every connection, as a host that goes down does. Idempotent."""
        process = self._process
        if process is not None and process.returncode is None:
            sessions = self.sessions()
            with suppress(ProcessLookupError):
                process.kill()
            for each in sessions:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            await process.wait()
        self._process = None


def write_known_hosts(path: Path, *servers: SshServer) -> Path:
    """A known_hosts file of ``servers``."""
    path.write_text("".join(server.known_hosts_line for server in servers))
    return path
