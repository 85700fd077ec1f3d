"""The smallest engine there can be: a program that forwards a loopback port, and its driver.

For tests of what all engines share, and a model for a new driver. It moves bytes for real; its far
end is this machine. Its program can misbehave on demand (option ``habit``):

- ``garbage``: a megabyte without a line's end and bytes that are no text come before its words;
- ``mute``: carries, and says nothing of it;
- ``quits``: ends with exit code 0 as soon as it carries;
- ``refused``: says that its credential was refused, and ends;
- ``taken``: says that the port is taken, and ends.
"""

from __future__ import annotations

import sys
from typing import Final

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.observations import Carrying, Observation, Refusal
from underpass.drivers.plans import Detection, ForeignTunnel, Plan, Site
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

HABITS: Final = ("", "garbage", "mute", "quits", "refused", "taken")

PROGRAM: Final = r"""
import asyncio, sys

async def main(door, public, habit):
    if habit == "garbage":
        sys.stdout.buffer.write(b"\xff\x00" * (600 * 1024) + b"\n\n")
    if habit == "refused":
        sys.exit("refused: the credential is unknown")
    if habit == "taken":
        sys.exit(f"taken: {public}")

    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()

    async def visit(reader, writer):
        try:
            inner = await asyncio.open_connection("127.0.0.1", door)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))
        inner[1].close()
        writer.close()

    try:
        server = await asyncio.start_server(visit, "127.0.0.1", public)
    except OSError:
        sys.exit(f"taken: {public}")
    if habit != "mute":
        print("carrying", server.sockets[0].getsockname()[1], flush=True)
    if habit != "quits":
        await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
"""


class LoopbackDriver:
    """See ``Driver``. Options: ``port`` (0: any), ``habit``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "loopback"

    async def detect(self, site: Site) -> Detection:
        """It is where Python is."""
        return Detection(True, sys.executable, sys.version.split()[0])

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        refuse_unsupported(self.name, spec, Abilities(tcp=True))
        habit, port = site.options.get("habit", ""), site.options.get("port", "0")
        if habit not in HABITS:
            raise EngineOptionInvalid(self.name, "habit", "it is one of " + ", ".join(HABITS[1:]))
        if not port.isdigit() or int(port) > 65_535:
            raise EngineOptionInvalid(self.name, "port", "it lies between 0 and 65535")
        scheme = "tcp" if spec.kind is Kind.TCP else "http"
        return Plan(
            self.name,
            "a port of this machine's loopback interface",
            argv=(sys.executable, "-I", "-c", PROGRAM, str(site.door.port), port, habit),
            url=f"{scheme}://127.0.0.1:{port}",
        )

    def read(self, line: str) -> Observation | None:
        """See ``Driver``."""
        word, _, rest = line.partition(" ")
        if word == "carrying" and rest.isdigit():
            return Carrying(port=int(rest))
        if word == "refused:":
            return Refusal("credential-refused", rest, "use another", fatal=True)
        if word == "taken:":
            return Refusal("port-taken", f"port {rest} is taken")
        return None

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        return ForeignEngine(self, spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Nobody else uses it."""
        return ()
