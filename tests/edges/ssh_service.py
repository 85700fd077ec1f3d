"""A public SSH service in this process: names for whoever forwards, HTTP for whoever visits.

It behaves as localhost.run does: a banner full of other URLs, then one line with the address. Its
names lie below ``lhr.localhost``, which everybody's resolver keeps on this machine.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import asyncssh
from asyncssh.stream import SSHReader, SSHTCPStreamSession, SSHWriter

DOMAIN = "lhr.localhost"
ANONYMOUS = "nokey"
REFUSED_PORT = 9_999

BANNER = """
===============================================================================
Welcome to localhost.run!
Follow your favourite reverse tunnel at https://twitter.com/localhost_run.
To set up and manage custom domains go to http://admin.lhr.localhost/
More details on custom domains: http://docs.lhr.localhost/custom-domains
If you get a permission denied error check the faq at http://www.lhr.localhost/docs/faq/
===============================================================================
** your connection id is 3f1c, please mention it if you send me a message about an issue. **
"""


class SshService:
    """One service. ``start`` it once, ``stop`` it in the end."""

    def __init__(self, accepted_keys: Sequence[str] = ()) -> None:
        """``accepted_keys`` are public keys of its customers; anonymous ones need none."""
        self.accepted = {asyncssh.import_public_key(each) for each in accepted_keys}
        self.names: dict[str, Visitable] = {}
        self.as_json = False
        self.is_full = False
        """Whoever comes is told that there are too many tunnels, and sent away."""
        self.port = self.http_port = 0
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._ssh: asyncssh.SSHAcceptor | None = None
        self._http: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take connections and visitors; again on the same ports after ``stop``."""
        self._ssh = await asyncssh.create_server(
            lambda: Customer(self),
            "127.0.0.1",
            self.port,
            server_host_keys=[self._key],
            process_factory=self._session,
        )
        self._http = await asyncio.start_server(self._visit, "127.0.0.1", self.http_port)
        self.http_port = self._http.sockets[0].getsockname()[1]
        self.port = self._ssh.get_port()

    @property
    def known_hosts_line(self) -> str:
        """Its line for a known_hosts file."""
        public = self._key.export_public_key().decode().strip()
        return f"[127.0.0.1]:{self.port} {public}\n"

    def url(self, name: str) -> str:
        """Where visitors of ``name`` come."""
        return f"http://{name}:{self.http_port}"

    def rename(self) -> None:
        """Give every tunnel another name and say so, as free tunnels there are after some hours."""
        for name in list(self.names):
            tunnel = self.names.pop(name)
            self._announce(tunnel, fresh_name())

    def cut(self) -> None:
        """End every customer's connection."""
        for connection in list(self._connections):
            connection.abort()

    async def stop(self) -> None:
        """End it and all connections. Idempotent."""
        if self._ssh is not None:
            self._ssh.close()
        self.cut()
        if self._http is not None:
            self._http.close()
        for task in list(self._visits):
            task.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        if self._ssh is not None:
            await self._ssh.wait_closed()

    def _announce(self, tunnel: Visitable, name: str) -> None:
        self.names[name] = tunnel
        process, url = tunnel.process, self.url(name)
        assert process is not None
        if self.as_json:
            told = {"event": "tcpip-forward", "status": "success", "address": f"{name}"}
            told["message"] = f"{name} tunneled with tls termination, {url}"
            told["url"] = url
            process.stdout.write(json.dumps(told) + "\n")
        else:
            process.stdout.write(
                f"\r\n\x1b[1m{name} tunneled with tls termination, {url}\x1b[0m\r\n"
            )

    async def _session(self, process: asyncssh.SSHServerProcess[str]) -> None:
        connection = process.channel.get_connection()
        customer = cast(Customer, connection.get_owner())
        process.stdout.write(BANNER.replace("\n", "\r\n"))
        if self.is_full:
            process.stdout.write("Error: too many tunnels for an account without a plan\r\n")
            process.exit(1)
            return
        self.as_json = self.as_json or "json" in (process.command or "")
        async with asyncio.timeout(10):
            tunnel = await customer.tunnel
        tunnel.process = process
        self._announce(tunnel, tunnel.wanted or fresh_name())
        await connection.wait_closed()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncssh.Error):
            pass
        finally:
            self._visits.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = [line.partition(b":") for line in head.split(b"\r\n")]
        hosts = [value.strip().decode() for key, _, value in lines if key.lower() == b"host"]
        tunnel = self.names.get(hosts[0].partition(":")[0]) if hosts else None
        if tunnel is None:
            writer.write(b"HTTP/1.1 503 no tunnel here\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        # The public method of a server's connection would ask for the other kind of channel.
        channel, session = await tunnel.connection.create_connection(
            SSHTCPStreamSession, tunnel.host, tunnel.port, "127.0.0.1", 1
        )
        stream = cast(SSHTCPStreamSession, session)
        inner = SSHReader(stream, channel), SSHWriter(stream, channel)
        inner[1].write(head)
        ways = [
            asyncio.ensure_future(pump(reader, inner[1])),
            asyncio.ensure_future(pump(inner[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            channel.abort()


class Visitable:
    """One tunnel of a customer."""

    def __init__(
        self, connection: asyncssh.SSHServerConnection, host: str, port: int, wanted: str
    ) -> None:
        self.connection = connection
        self.host = host
        self.port = port
        self.wanted = wanted
        self.process: asyncssh.SSHServerProcess[str] | None = None


class Customer(asyncssh.SSHServer):
    """One connection of a customer."""

    def __init__(self, service: SshService) -> None:
        self._service = service
        self.tunnel: asyncio.Future[Visitable] = asyncio.get_running_loop().create_future()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._service._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        names, conn = self._service.names, self._connection
        self._service._connections.discard(conn)
        for name in [each for each, tunnel in names.items() if tunnel.connection is conn]:
            del names[name]
        self.tunnel.cancel()

    def begin_auth(self, username: str) -> bool:
        return username != ANONYMOUS

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key in self._service.accepted

    def server_requested(self, listen_host: str, listen_port: int) -> Any:
        if listen_port == REFUSED_PORT:
            return False
        is_name = listen_host not in ("", "localhost", "127.0.0.1", "0.0.0.0")
        wanted = f"{listen_host}.{DOMAIN}" if is_name else ""
        if not self.tunnel.done():
            self.tunnel.set_result(
                Visitable(self._connection, listen_host, listen_port or 40_001, wanted)
            )
        return Listener(listen_port or 40_001)


class Listener(asyncssh.SSHListener):
    """What the customer is told to have; visitors come by HTTP."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def get_port(self) -> int:
        return self._port

    def close(self) -> None:
        """The name goes with the connection."""

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


async def pump(reader: Any, writer: Any) -> None:
    """Bytes from one to the other until the end."""
    with suppress(OSError, asyncssh.Error):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


def fresh_name() -> str:
    """A name that nobody has."""
    return f"{uuid.uuid4().hex[:10]}.{DOMAIN}"
