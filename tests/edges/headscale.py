"""A real headscale on loopback: control server, DERP relay and STUN in one process, no internet."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

from tests.edges.tailscale import Running, need, path_with_engines

from underpass.testing.certificates import Certificate, self_signed
from underpass.testing.ports import free_port

DOMAIN = "tail.test"
"""Where its nodes are named: ``NODE.tail.test``."""

OPEN_POLICY: dict[str, Any] = {
    "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
}


class Headscale:
    """One control server with one user. ``start`` and ``stop`` as often as wanted."""

    prefix: tuple[str, ...] = ()
    """Words before its own: where it is to run."""

    def __init__(self, directory: Path) -> None:
        """``directory`` has a short path: a socket is made in it."""
        self.directory = directory
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = directory / "headscale-ca.pem"
        self._process: Running | None = None

    async def start(self) -> None:
        """Serve; returns when it answers."""
        need("headscale")
        if not self.ca.exists():
            self._write(self_signed("127.0.0.1"))
            await self.set_policy(OPEN_POLICY)
        self._process = Running.start(
            (*self.prefix, "headscale", "serve", "-c", str(self._config)),
            log=self.directory / "headscale.log",
            environment={"PATH": path_with_engines(), "HOME": str(self.directory)},
        )
        await self._process.wait_for("listening and serving HTTP")
        if not (await self.ask("users", "list") or []):
            await self.ask("users", "create", "tester")

    def stop(self) -> None:
        """Kill it, as a host that goes down does. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    async def key(self, *, reusable: bool = True, ephemeral: bool = False, tags: str = "") -> str:
        """A key that lets nodes join."""
        words = ["preauthkeys", "create", "--user", "1", "--expiration", "1h"]
        words += ["--reusable"] if reusable else []
        words += ["--ephemeral"] if ephemeral else []
        words += ["--tags", tags] if tags else []
        return str((await self.ask(*words))["key"])

    async def nodes(self) -> dict[str, dict[str, Any]]:
        """What it knows of its nodes, by their names."""
        return {str(each["given_name"]): each for each in await self.ask("nodes", "list") or []}

    async def expire(self, name: str) -> None:
        """End the key of the node called ``name``, as time does."""
        node = (await self.nodes())[name]
        await self.ask("nodes", "expire", "-i", str(node["id"]))

    async def approve(self, auth_url: str) -> None:
        """Let the node in that waits at ``auth_url``, as its administrator does."""
        word = auth_url.rstrip("/").rpartition("/")[2]
        await self.ask("auth", "register", "--user", "tester", "--auth-id", word)

    async def set_policy(self, policy: dict[str, Any]) -> None:
        """Who may reach what, from now on."""
        await asyncio.to_thread(self._policy.write_text, json.dumps(policy))
        if self._process is not None:
            self._process.process.send_signal(signal.SIGHUP)

    async def ask(self, *words: str) -> Any:
        """What its own command says, as JSON."""
        process = await asyncio.create_subprocess_exec(
            *("headscale", "-c", str(self._config), *words, "-o", "json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": path_with_engines(), "HOME": str(self.directory)},
        )
        out, err = await process.communicate()
        assert process.returncode == 0, (words[:2], out, err)
        return json.loads(out)

    @property
    def _policy(self) -> Path:
        return self.directory / "policy.json"

    @property
    def _config(self) -> Path:
        return self.directory / "headscale.yaml"

    def _write(self, certificate: Certificate) -> None:
        place = self.directory
        self.ca.write_bytes(certificate.certificate)
        (place / "headscale-key.pem").write_bytes(certificate.key)
        settings = {
            "server_url": self.url,
            "listen_addr": f"127.0.0.1:{self.port}",
            "metrics_listen_addr": "",
            "grpc_listen_addr": "127.0.0.1:0",
            "tls_cert_path": str(self.ca),
            "tls_key_path": str(place / "headscale-key.pem"),
            "noise": {"private_key_path": str(place / "noise.key")},
            "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48"},
            "derp": {
                "server": {
                    "enabled": True,
                    "region_id": 999,
                    "region_code": "test",
                    "region_name": "test",
                    "verify_clients": False,
                    "stun_listen_addr": f"127.0.0.1:{free_port(kind=socket.SOCK_DGRAM)}",
                    "private_key_path": str(place / "derp.key"),
                    "ipv4": "127.0.0.1",
                },
                "urls": [],
                "paths": [],
                "auto_update_enabled": False,
            },
            "disable_check_updates": True,
            "database": {"type": "sqlite", "sqlite": {"path": str(place / "db.sqlite")}},
            "log": {"level": "info", "format": "text"},
            "policy": {"mode": "file", "path": str(self._policy)},
            "dns": {
                "magic_dns": True,
                "base_domain": DOMAIN,
                "override_local_dns": False,
                "nameservers": {"global": []},
            },
            "unix_socket": str(place / "headscale.sock"),
            "unix_socket_permission": "0700",
        }
        self._config.write_text(json.dumps(settings))  # which is YAML, too
