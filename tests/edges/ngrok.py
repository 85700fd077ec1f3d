"""An ngrok of our own on loopback, for the real agent and the real SDK, with faults to order.

    async with NgrokEdge(token="…") as edge:
        # the agent: server_addr edge.server, root_cas edge.ca
        edge.freeze_sessions()  # present ones hang: heartbeats unanswered, nothing moves
        edge.drop_ghosts()      # frozen sessions are given up, their names are free
        edge.freeze()           # new ones hang, too; ``thaw`` ends it
        await edge.kill()    # the whole edge goes away; ``start`` brings it back, same addresses
        await edge.push_stop()
        edge.session_limit = 1
        edge.refuse_bind = 324
        edge.refuse_visitors = 727
        edge.garbage = True  # new connections are answered nonsense

Its public side is real: HTTPS and HTTP by name below ``ngrok.localhost``, a port for each tcp and
tls endpoint.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
from tests.edges.ngrok_books import Bind, error_text
from tests.edges.ngrok_front import deny, join, read_head, serve_http
from tests.edges.ngrok_policy import Denied
from tests.edges.ngrok_session import AgentSession

DOMAIN = "ngrok.localhost"
HEAD_LIMIT = 64 * 1024


class NgrokEdge:
    """One edge. ``start`` it once, or again after ``kill``; an async context manager."""

    def __init__(self, directory: Path, *, token: str) -> None:
        """``directory`` gets the authority's certificate."""
        self.token = token
        self.session_limit = 3
        self.refuse_auth = 0
        self.refuse_bind = 0
        self.refuse_visitors = 0
        self.garbage = False
        self.frozen = False
        self.offline_status = 404
        self.sessions: set[AgentSession] = set()
        self.binds: dict[str, Bind] = {}
        self.asked: list[dict[str, Any]] = []
        """Every bind that was asked for."""
        self.was_asked = asyncio.Event()
        """Set with each; for tests to clear."""
        self.held: set[str] = set()
        """Names that somebody else has online."""
        self.port = 0
        self._ports = {"https": 0, "http": 0}
        self._servers: list[asyncio.Server] = []
        self._visits: set[asyncio.Task[None]] = set()
        authority = trustme.CA()
        self.ca = directory / "ngrok-edge-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._inner = _context(authority, "localhost", "127.0.0.1")
        self._outer = _context(authority, DOMAIN, f"*.{DOMAIN}", "127.0.0.1")

    @property
    def server(self) -> str:
        """Where agents connect, as an address that needs no looking up."""
        return f"127.0.0.1:{self.port}"

    @property
    def named_server(self) -> str:
        """The same as a name, which the SDK wants."""
        return f"localhost:{self.port}"

    async def start(self) -> None:
        """Take agents and visitors."""
        loop = asyncio.get_running_loop()
        agents = await loop.create_server(self._meet_agent, "127.0.0.1", self.port, ssl=self._inner)
        self.port = agents.sockets[0].getsockname()[1]
        self._servers = [agents]
        for scheme, context in (("https", self._outer), ("http", None)):
            server = await asyncio.start_server(
                lambda reader, writer, scheme=scheme: self._visit(
                    self._serve_http(reader, writer, scheme), writer
                ),
                "127.0.0.1",
                self._ports[scheme],
                ssl=context,
                limit=HEAD_LIMIT,
            )
            self._ports[scheme] = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def kill(self) -> None:
        """Go away as a host does whose plug was pulled. Idempotent."""
        for server in self._servers:
            server.close()
        self._servers = []
        for session in list(self.sessions):
            session.abort()
        for bind in list(self.binds.values()):
            await self.unbind(bind.id)
        for task in list(self._visits):
            task.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        for session in list(self.sessions):
            await session.closed()
        await asyncio.sleep(0)  # aborted transports tell their protocols in the next turn

    def freeze_sessions(self) -> None:
        """Let present sessions hang, with their names; new ones are served."""
        for session in self.sessions:
            session.freeze()

    def freeze(self) -> None:
        """Do nothing more, without closing anything: visitors and new agents wait, too."""
        self.frozen = True
        self.freeze_sessions()

    def thaw(self) -> None:
        """Go on where it stood still."""
        self.frozen = False
        for session in list(self.sessions):
            session.thaw()

    def drop_ghosts(self) -> None:
        """Give up frozen sessions, as their heartbeats run out."""
        for session in list(self.sessions):
            if session.frozen:
                session.abort()

    async def push_stop(self) -> list[Any]:
        """Ask every agent to stop, as the dashboard does; their answers."""
        return [await it.push_stop() for it in list(self.sessions) if it.signed_in]

    @contextmanager
    def hold(self, *names: str) -> Iterator[None]:
        """Somebody else is online at ``names`` meanwhile: host names or ``HOST:PORT``."""
        self.held |= set(names)
        yield
        self.held -= set(names)

    # For sessions

    def judge_client(self, session: AgentSession) -> str:
        """Why a session may not sign in; "" when it may."""
        told = str(session.client.get("authtoken") or "")
        if self.refuse_auth:
            return error_text(self.refuse_auth)
        if not told:
            return error_text(4018)
        if told != self.token:
            return error_text(107, told)
        others = sum(it.signed_in for it in self.sessions if it is not session)
        return error_text(108) if others >= self.session_limit else ""

    async def bind(self, session: AgentSession, asked: dict[str, Any]) -> dict[str, Any]:
        """Bring an endpoint online; the answer."""
        self.asked.append(asked)
        self.was_asked.set()
        proto, options = str(asked["Proto"]), dict(asked["Opts"])
        if self.refuse_bind:
            return {"Error": error_text(self.refuse_bind)}
        wanted = str(options.get("Addr") or options.get("Hostname") or "")
        if options.get("Subdomain"):
            wanted = f"{options['Subdomain']}.{DOMAIN}"
        known = str(asked.get("Id") or "")
        # A client that comes back names what it had, and takes it over from its own ghost.
        await self.unbind(known)
        if wanted in self.held or any(
            it.host == wanted and it.proto == proto for it in self.binds.values()
        ):
            return {"Error": error_text(334)}
        host = wanted or f"{uuid.uuid4().hex[:12]}.{DOMAIN}"
        bind = Bind(known or uuid.uuid4().hex, session, proto, "", host, options)
        policy = options.get("TrafficPolicy") or options.get("Policy")
        if policy:
            bind.policy = json.loads(policy) if isinstance(policy, str) else policy
        if proto in self._ports:
            bind.url = f"{proto}://{host}:{self._ports[proto]}"
        else:
            try:
                await self._listen(bind)
            except OSError:
                return {"Error": error_text(334)}
        self.binds[bind.id] = bind
        return {
            "Id": bind.id,
            "URL": bind.url,
            "Proto": proto,
            "Opts": {**options, "Hostname": host},
            "Extra": {"Token": ""},
            "Error": "",
        }

    async def unbind(self, bind_id: str) -> None:
        """Take an endpoint offline. Idempotent: the SDK asks three times."""
        bind = self.binds.pop(bind_id, None)
        if bind is not None and bind.server is not None:
            bind.server.close()

    def forget(self, session: AgentSession) -> None:
        """A session is gone, and its endpoints with it."""
        self.sessions.discard(session)
        for bind in [it for it in self.binds.values() if it.session is session]:
            del self.binds[bind.id]
            if bind.server is not None:
                bind.server.close()

    # Its public side

    async def _listen(self, bind: Bind) -> None:
        host, colon, port = bind.host.rpartition(":")
        bind.server = await asyncio.start_server(
            lambda reader, writer: self._visit(self._serve_bytes(bind, reader, writer), writer),
            "127.0.0.1",
            int(port) if colon else 0,
        )
        number = bind.server.sockets[0].getsockname()[1]
        shown = bind.host if bind.proto == "tls" else host or "127.0.0.1"
        bind.url = f"{bind.proto}://{shown}:{number}"

    def _meet_agent(self) -> asyncio.Protocol:
        return Babbler() if self.garbage else AgentSession(self)

    async def _visit(self, serving: Any, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            # Only ``kill`` cancels it, and waits for its end.
            with suppress(OSError, ValueError, asyncio.CancelledError):
                await serving
        finally:
            self._visits.discard(task)
            writer.close()

    async def _serve_http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scheme: str
    ) -> None:
        head = await read_head(reader)
        name = head.get("host").rpartition(":")[0]
        bind = next(
            (it for it in self.binds.values() if (it.host, it.proto) == (name, scheme)), None
        )
        if bind is None or self.refuse_visitors:
            number = self.refuse_visitors or 3200
            status = self.offline_status if bind is None else 429
            await deny(writer, Denied(status, number))
            return
        peer = "{}:{}".format(*writer.get_extra_info("peername")[:2])
        await serve_http(
            reader,
            writer,
            head,
            lambda: bind.session.open_proxy(bind.id, scheme, peer),
            scheme=scheme,
            policy=bind.policy,
        )

    async def _serve_bytes(
        self, bind: Bind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = "{}:{}".format(*writer.get_extra_info("peername")[:2])
        way = await bind.session.open_proxy(bind.id, bind.proto, peer)
        try:
            await join(reader, writer, way)
        finally:
            way.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()


class Babbler(asyncio.Protocol):
    """Answers whoever connects with nonsense."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"\xff" * 65_536 + b"HTTP/1.1 200 OK\r\n\r\n")


def _context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
