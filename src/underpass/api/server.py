"""The API of one process on its own Unix socket, served inside the loop that keeps its tunnels.

Mode 0600 from the moment it is bound, in a directory of mode 0700; a peer of another user is cut
off before it is read. uvicorn carries the HTTP; its signal handlers and its polling are replaced,
since the process belongs to the tunnels and not to this server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from underpass.api.control import Changes, Control, Examiner, SignInDesk, Watched
from underpass.api.peers import is_owner
from underpass.api.places import make_private_dir
from underpass.api.routes import build_app

GRACE_SECONDS = 2.0
"""What answers in flight get when the server ends; event streams end at once."""

BACKLOG = 64

log = logging.getLogger(__name__)


def _is_no_cut(record: logging.LogRecord) -> bool:
    # A call that outlived the grace was cut off on purpose: that is nothing to show a person.
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "task(s)" not in str(record.msg)


logging.getLogger("uvicorn.error").addFilter(_is_no_cut)


class ApiServer:
    """Serves ``controls`` (tunnels by name; may change while serving) at ``path``.

    ``async with ApiServer(path, {"tools": control}): …`` or ``start`` and ``stop``, once each.
    """

    def __init__(
        self,
        path: Path,
        controls: Mapping[str, Control],
        desks: Mapping[str, SignInDesk] | None = None,
        watched: Mapping[str, Watched] | None = None,
        examiners: Mapping[str, Examiner] | None = None,
    ) -> None:
        self.path = path
        self._streams: set[Changes] = set()
        self._server = _Server(
            uvicorn.Config(
                build_app(controls, self._streams, desks, watched, examiners),
                http=_OwnerProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=int(GRACE_SECONDS),
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._inode: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen; returns when the socket accepts. Raises ``LooseMode``, ``ForeignOwner``."""
        make_private_dir(self.path.parent)
        sock = _bind(self.path)
        found = self.path.stat()
        self._inode = (found.st_dev, found.st_ino)
        name = f"api {self.path.name}"
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]), name=name)
        ready = asyncio.create_task(self._server.ready.wait(), name=f"{name} ready")
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            self._remove_socket()
            self._task.result()

    async def stop(self) -> None:
        """End event streams, let answers in flight end, remove the socket. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._remove_socket()
        self._server.leave()
        for changes in tuple(self._streams):
            await changes.aclose()
        await task

    async def __aenter__(self) -> ApiServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _remove_socket(self) -> None:
        # Only our own: a process with our number in another container may have taken the path.
        with contextlib.suppress(FileNotFoundError):
            found = self.path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                self.path.unlink()


def _bind(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with contextlib.suppress(FileNotFoundError):
            # A leftover of an earlier process with our number; nobody else may have our path.
            path.unlink()
        sock.bind(os.fspath(path))
        # Nobody can connect before the socket listens, so the mode is never loose in practice.
        path.chmod(0o600)
    except BaseException:
        sock.close()
        raise
    return sock


class _OwnerProtocol(HttpToolsProtocol):
    """uvicorn's HTTP connection, for the owner alone."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not is_owner(cast(socket.socket, transport.get_extra_info("socket"))):
            log.warning("api: cut off a connection of another user")
            transport.abort()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, listening line or ten wake-ups a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Begin the end: no new connections, answers in flight get ``GRACE_SECONDS``."""
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            return _OwnerProtocol(self.config, self.server_state, {}, loop)

        # Not uvicorn's own way: its create_server is for TCP sockets, and uvloop minds.
        self.servers = [
            await loop.create_unix_server(connection, sock=sock, backlog=BACKLOG)
            for sock in sockets or []
        ]
        self.started = True
        self.ready.set()

    async def main_loop(self) -> None:
        await self._leaving.wait()
