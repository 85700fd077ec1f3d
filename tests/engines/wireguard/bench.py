"""WireGuard's far end: a relay host behind a router, and visitors that live there."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from tests.edges.wireguard import MemberProcess, device_pid, left_over, visit, wireguard_net

from underpass.assembly import OpenTunnel
from underpass.testing.driver_bench import DriverBench, Options


class WireGuardBench(DriverBench):
    engine = "wireguard"
    program = "wireguard-go"
    variant = "wireguard-go"
    near = "laptop"
    preshared = True

    async def start(self) -> None:
        await self.make_network()
        self.far: MemberProcess = await self.net.up("relay")

    async def make_network(self) -> None:
        """The hosts and their keys, and a key that nobody knows."""
        self.net = await self.stack.enter_async_context(wireguard_net(self.home, self.runtime_of()))
        self.net.write(preshared=self.preshared)
        self.net.make_keys()
        stranger = self.net.home / "strange.keys"
        self.net.load()[1].pack("laptop", stranger)
        (stranger / "laptop.key").unlink()
        (stranger / "laptop.pub").unlink()
        topology, keyring = self.net.load()
        type(keyring)(stranger, topology).make(["laptop"])
        self.strange_keys = stranger

    def runtime_of(self) -> Path:
        """Where the far end keeps its own things, apart from what the suite looks at."""
        path = self.home / "far"
        path.mkdir(mode=0o700)
        return path

    def options(self) -> Options:
        return self.net.options("laptop")

    def wrong_credential(self) -> Options:
        return {**self.options(), "keys": str(self.strange_keys)}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        with self.net.laptop.socket() as holder:
            holder.bind(("0.0.0.0", 0))
            holder.listen()
            yield {**self.options(), "port": str(holder.getsockname()[1])}

    def hostile_options(self, text: str) -> list[Options]:
        keys = ("topology", "host", "keys", "port", "listen", "mode", "witness", "interface")
        sets = [{**self.options(), key: text} for key in (*keys, "netns", "via")]
        return [*sets, {"via": f"{text}@{self.net.file}"}, {"via": f"laptop@{text}"}]

    def secrets(self) -> dict[str, str]:
        paths = sorted([*self.net.keys.glob("*.key"), *self.net.keys.glob("*.psk")])
        texts = {path.name: path.read_text().strip() for path in paths}
        # The userspace protocol writes keys in hexadecimal.
        return texts | {
            f"{name} in hexadecimal": base64.b64decode(text).hex() for name, text in texts.items()
        }

    def child(self, tunnel: OpenTunnel) -> int:
        program = getattr(tunnel.engine, "program", None)
        assert program is not None
        return int(program.pid)

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        return await visit(self.net.relay, parts.hostname, parts.port or 80)

    def far_end(self) -> list[int]:
        return [device_pid(self.far)]

    async def cut(self) -> None:
        await self.far.kill()

    async def mend(self) -> None:
        self.far = await self.net.up("relay")

    def leftovers(self, before: set[int]) -> list[str]:
        ours = {self.far.pid, *_below(self.far.pid)}
        found = super().leftovers(before | ours)
        return found + left_over(self.net, self.near)


def _below(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}
