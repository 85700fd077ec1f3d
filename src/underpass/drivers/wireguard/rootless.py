"""A host of the network without any rights: WireGuard and TCP in this process, run as a program.

Started by the engine as ``python -m``; it takes handshakes at a UDP port, and gives each connection
to the one open port of the tunnel address to the gatehouse's Unix socket. Everything else is
refused here; there is no interface by which anything else of this machine could be reached. The
stack is mitmproxy-wireguard's (a Rust extension), in a process of its own so that its end is not
ours.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from underpass.drivers.wireguard.host_files import HostFiles
from underpass.drivers.wireguard.keys import new_private_key, public_of
from underpass.drivers.wireguard.topology import Topology
from underpass.guard.private_files import write_private
from underpass.model.errors import UnderpassError

STACK: Final = "mitmproxy_wireguard"
PORT: Final = 8_080
"""Where nobody chose one: no other program can hold it, inside."""

FOLLOW_SECONDS: Final = 0.5
READ_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 1_024

VISITORS: Final = 8
"""Keys for visits: one key holds one session, and two visits with it would end each other's."""


class RootlessHost:
    """One host, served until cancelled."""

    def __init__(
        self, files: HostFiles, door: Path, visit: Path, *, port: int, listen: int | None
    ) -> None:
        self._files = files
        self._door = door
        self._visit = visit
        self._port = port or PORT
        self._listen = listen
        self._visitors = [new_private_key() for _ in range(VISITORS)]
        self._address = ""
        self._open = 0

    async def serve(self) -> None:
        """Serve, and follow the files: a change of the peers starts the stack anew."""
        while True:
            mark = self._files.mark()
            server = await self._start()
            try:
                while self._files.mark() == mark:
                    await asyncio.sleep(FOLLOW_SECONDS)
                    if not self._is_readable():
                        mark = self._files.mark()
            finally:
                server.close()
                await server.wait_closed()

    async def _start(self) -> Any:
        topology, keyring = self._files.load()
        me = topology.host(self._files.host)
        keys = [public_of(each) for each in self._visitors]
        for name in topology.neighbours(me.name):
            known = keyring.public(name)
            keys += [known.current, *known.following, *known.former]
        private = keyring.private(me.name)
        listen = me.listen if self._listen is None else self._listen
        stack = importlib.import_module(STACK)
        server = await stack.start_server(
            "0.0.0.0", listen, private.reveal(), keys, self._connected, _ignore
        )
        self._address = str(me.address)
        outer = server.getsockname()[1]
        self._write_visit(topology, public_of(private), outer)
        print(f"underpass-rootless-carrying {self._port}", flush=True)  # noqa: T201  (our parent)
        return server

    def _write_visit(self, topology: Topology, public: str, outer: int) -> None:
        """What visits for proofs need: keys of their own, and our outer address."""
        me = topology.host(self._files.host)
        host = "127.0.0.1" if me.endpoint is None else me.endpoint.host
        port = outer if me.endpoint is None else me.endpoint.port
        facts = {
            "private": [each.reveal() for each in self._visitors],
            "public": public,
            "endpoint": f"{host}:{port}",
            "address": self._address,
            "port": self._port,
        }
        write_private(self._visit, json.dumps(facts).encode())

    def _is_readable(self) -> bool:
        try:
            self._files.load()
        except (UnderpassError, OSError):
            return False
        return True

    async def _connected(self, stream: Any) -> None:
        target = stream.get_extra_info("original_dst")
        if target != (self._address, self._port) or self._open >= MAX_CONNECTIONS:
            stream.close()
            return
        self._open += 1
        try:
            with suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(self._door)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(_inwards(stream, writer))
                        group.create_task(_outwards(reader, stream))
                except* OSError:
                    pass
                finally:
                    writer.transport.abort()
        finally:
            self._open -= 1
            stream.close()


async def _inwards(stream: Any, writer: asyncio.StreamWriter) -> None:
    while data := await stream.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _outwards(reader: asyncio.StreamReader, stream: Any) -> None:
    while data := await reader.read(READ_BYTES):
        stream.write(data)
        await stream.drain()
    stream.write_eof()


def _ignore(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
    """Nothing is served over UDP."""


def main(words: list[str]) -> int:
    """Serve until ended. What goes wrong is one line, for ``read_line``."""
    parser = argparse.ArgumentParser(prog="underpass-rootless")
    for name in ("topology", "keys", "door", "visit"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--listen", type=int, default=None)
    given = parser.parse_args(words)
    host = RootlessHost(
        HostFiles(given.topology, given.keys, given.host),
        given.door,
        given.visit,
        port=given.port,
        listen=given.listen,
    )
    try:
        asyncio.run(host.serve())
    except UnderpassError as error:
        print(f"underpass-rootless-refused {error.code} {error.message}", flush=True)  # noqa: T201
        return 1
    except (OSError, RuntimeError) as error:  # the stack tells a taken port by the latter
        why = (getattr(error, "strerror", None) or str(error)).lower()
        print(f"underpass-rootless-refused port {why}", flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    # Not sys.exit: the stack's own threads may fall over the interpreter's end.
    os._exit(main(sys.argv[1:]))
