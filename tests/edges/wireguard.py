"""Hosts in namespaces, with a NAT between, that take part in a WireGuard network for real.

::

    relay 10.86.1.2 - router 10.86.1.1 | 10.86.2.1 (NAT) - laptop 10.86.2.2
                                       | 10.86.3.1 (NAT) - ci     10.86.3.2
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from underpass.drivers.wireguard.keys import Keyring
from underpass.drivers.wireguard.topology import Topology, parse_topology
from underpass.testing.network import Namespace, Network, missing_for_networks

PATIENCE = 30.0
PORT = 51_820

_numbers = itertools.count()


def missing_for_wireguard() -> str | None:
    """Why such networks cannot be made here, or None."""
    if (why := missing_for_networks()) is not None:
        return why
    for program, package in (("wireguard-go", "wireguard-go"), ("wg", "wireguard-tools")):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install {package}"
    return None if os.path.exists("/dev/net/tun") else "there is no /dev/net/tun"


MISSING = missing_for_wireguard()
marks = [
    pytest.mark.root,
    # In CI nothing may be missing: there the tests fail instead.
    pytest.mark.skipif(MISSING is not None and not os.environ.get("CI"), reason=str(MISSING)),
    pytest.mark.timeout(120),
]


class MemberProcess:
    """One ``underpass wg up``, as users run it."""

    def __init__(self, process: asyncio.subprocess.Process, interface: str) -> None:
        self.interface = interface
        self.lines: list[dict[str, Any]] = []
        self.words: list[str] = []
        self._process = process
        self._news = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._hear())]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait_for(self, wanted: Callable[[dict[str, Any]], bool], *, after: int = 0) -> Any:
        """The first line from ``after`` on that is wanted."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for line in self.lines[after:]:
                        if wanted(line):
                            return line
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError((self.lines, self.words)) from None

    async def peer(self, name: str, state: str, *, after: int = 0) -> Any:
        """Wait until it says that about that peer."""
        return await self.wait_for(
            lambda it: it.get("peer") == name and it["state"] == state, after=after
        )

    async def kill(self) -> None:
        """End it as a host that loses power; its wireguard-go dies with it."""
        self._process.kill()
        await self.stop()

    async def stop(self) -> int:
        """End it in good order; its exit code."""
        if self._process.returncode is None:
            self._process.terminate()
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
        await asyncio.gather(*self._tasks)
        return code

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(json.loads(line))
            self._news.set()

    async def _hear(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.words.append(line.decode())
            self._news.set()


class WireGuardNet:
    """The hosts, the files of the network, and who takes part. Made by ``wireguard_net``."""

    def __init__(self, net: Network, home: Path, runtime: Path, stack: AsyncExitStack) -> None:
        self.home, self.runtime, self.stack = home, runtime, stack
        self.relay, self.router, self.laptop, self.ci = (
            net.namespace(label) for label in ("relay", "nat", "lap", "ci")
        )
        net.cable(self.relay, "10.86.1.2/24", self.router, "10.86.1.1/24")
        net.cable(self.laptop, "10.86.2.2/24", self.router, "10.86.2.1/24")
        net.cable(self.ci, "10.86.3.2/24", self.router, "10.86.3.1/24")
        for host, gateway in ((self.laptop, "10.86.2.1"), (self.ci, "10.86.3.1")):
            host.route("default", via=gateway)
        self.router.forward()
        stack.enter_context(self.router.masquerade("10.86.1.1"))
        self._number = next(_numbers)

    def namespace(self, host: str) -> Namespace:
        """Where a host lives."""
        return {"relay": self.relay, "laptop": self.laptop, "ci": self.ci}[host]

    def interface(self, host: str) -> str:
        """A name that no other test's interface has: their sockets share one directory."""
        return f"u{os.getpid() % 1_000_000}x{self._number}{host[:3]}"

    @property
    def file(self) -> Path:
        """The topology."""
        return self.home / "mesh.toml"

    @property
    def keys(self) -> Path:
        """The keys, shared by all: each process uses its own."""
        return self.home / "mesh.keys"

    def write(
        self, text: str = "", *, name: str = "mesh.toml", more: str = "", preshared: bool = True
    ) -> Path:
        """Write a topology; the usual one is a hub and two spokes."""
        path = self.home / name
        usual = f"""
            [network]
            name = "mesh"
            subnet = "10.87.0.0/24"
            hub = "relay"
            keepalive = 5
            preshared = {str(preshared).lower()}
            [hosts.relay]
            endpoint = "10.86.1.2:{PORT}"
            [hosts.laptop]
            [hosts.ci]
            {more}
        """
        path.write_text(text or usual)
        return path

    def load(self) -> tuple[Topology, Keyring]:
        """What is written."""
        topology = parse_topology(self.file.read_text())
        return topology, Keyring.beside(self.file, topology)

    def make_keys(self) -> Keyring:
        """Make all keys that are missing."""
        keyring = self.load()[1]
        keyring.make()
        return keyring

    async def up(self, host: str, *words: str, keys: Path | None = None) -> MemberProcess:
        """Start ``underpass wg up`` for ``host``; returns when its interface is up."""
        command = [sys.executable, "-m", "underpass", "wg", "up", str(self.file), host, "--json"]
        command += ["--netns", self.namespace(host).name, "--interface", self.interface(host)]
        command += ["--keys", str(keys)] if keys is not None else []
        runtime = self.runtime / f"{host}-{next(_numbers)}"
        runtime.mkdir(mode=0o700)
        process = await asyncio.create_subprocess_exec(
            *(*command, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "UNDERPASS_RUNTIME_DIR": str(runtime), "HOME": str(self.home)},
        )
        member = MemberProcess(process, self.interface(host))
        self.stack.push_async_callback(member.stop)
        await member.wait_for(lambda it: it["event"] == "up")
        return member

    def options(self, host: str = "laptop", **more: str) -> dict[str, str]:
        """Engine options of a tunnel at ``host``."""
        return {
            "topology": str(self.file),
            "host": host,
            "netns": self.namespace(host).name,
            "interface": self.interface(host),
            **more,
        }


@asynccontextmanager
async def wireguard_net(home: Path, runtime: Path) -> AsyncIterator[WireGuardNet]:
    """Hosts with nothing running; whatever is started ends with them."""
    with Network() as net:
        async with AsyncExitStack() as stack:
            yield WireGuardNet(net, home, runtime, stack)


def left_over(net: WireGuardNet, *hosts: str) -> list[str]:
    """Interfaces, sockets and tables of this test that are there, at ``hosts`` or all."""
    found = []
    for host in hosts or ("relay", "laptop", "ci"):
        namespace, interface = net.namespace(host), net.interface(host)
        if interface in namespace.run("ip", "-o", "link").stdout:
            found.append(f"interface {interface}")
        if "underpass_wg" in namespace.run("nft", "list", "tables").stdout:
            found.append(f"table at {host}")
        if os.path.exists(f"/var/run/wireguard/{interface}.sock"):
            found.append(f"socket {interface}")
    return found


def device_pid(member: MemberProcess) -> int:
    """The wireguard-go of a member."""
    for child in psutil.Process(member.pid).children(recursive=True):
        if child.status() != psutil.STATUS_ZOMBIE and member.interface in child.cmdline():
            return child.pid
    raise AssertionError("it runs no wireguard-go")


async def visit(
    namespace: Namespace, host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from there, as a visitor inside the network does. Raises ``OSError``."""
    connecting = namespace.socket()
    try:
        await asyncio.get_running_loop().sock_connect(connecting, (host, port))
        return await asyncio.open_connection(sock=connecting, limit=1 << 22)
    except BaseException:
        connecting.close()
        raise
