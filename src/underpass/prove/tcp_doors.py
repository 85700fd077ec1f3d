"""The public doors of tcp tunnels, as a prober comes to them.

There are two. A tunnel with an ``ip`` gate or ``--public`` has a port of its own; a gated one is
reached as ``underpass reach`` does, and its token is the credential without which strangers must be
refused.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, Protocol

from underpass.drivers.base import ByteWire, DialsReach
from underpass.guard.secrets import Secret
from underpass.model.errors import UnderpassError
from underpass.model.verdict import Layer, LayerResult, LayerStatus
from underpass.prove import findings
from underpass.prove.door import Address, Door, DoorShut, Layers, Visit, failure
from underpass.prove.verdicts import OUTER_DOOR

REACH_REFUSED: Final = "reach-refused"
"""Code of the error of a reach connection that was refused or broken off."""

REFUSAL_SECONDS: Final = 5.0
# A refusal comes as soon as the gatehouse has seen the token: within a round trip, or when the
# relay has waited its 5 s for a lost link.


class TcpDoor(Protocol):
    """A public door for byte streams. Both calls write what they pass into ``layers``."""

    async def prepare(self, layers: Layers) -> None:
        """What may take long and can be done before arming. Raises ``DoorShut``."""

    async def dial(self, layers: Layers) -> ByteWire:
        """Come as the owner does. Raises ``DoorShut``."""

    async def is_closed(self, layers: Layers) -> LayerResult | None:
        """Come without credentials: the gate layer. None: this door has none to show.

        Raises ``DoorShut``.
        """


class PublicPort:
    """A tcp tunnel's own public port. Strangers differ by nothing but their address."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._addresses: list[Address] = []

    async def prepare(self, layers: Layers) -> None:
        """See ``TcpDoor``."""
        self._addresses = await self._door.look_up(layers)

    async def dial(self, layers: Layers) -> ByteWire:
        """See ``TcpDoor``."""
        return _VisitWire(await self._door.enter(self._addresses, layers))

    async def is_closed(self, layers: Layers) -> LayerResult | None:
        """See ``TcpDoor``."""
        return None


class ReachDoor:
    """The door of a gated tcp tunnel: dialled by reach, with the tunnel's token."""

    def __init__(self, engine: DialsReach, token: Secret, *, secure: bool) -> None:
        """``secure``: reach connections run over TLS, so that layer can be judged."""
        self._engine = engine
        self._token = token
        self._tls = LayerStatus.PASSED if secure else LayerStatus.SKIPPED

    async def prepare(self, layers: Layers) -> None:
        """See ``TcpDoor``."""

    async def dial(self, layers: Layers) -> ByteWire:
        """See ``TcpDoor``."""
        try:
            wire = await self._engine.dial_reach(self._token.reveal())
        except UnderpassError as error:
            raise self._shut(layers, error) from None
        except OSError as error:
            raise _unreachable(layers, error) from None
        self._pass_outer(layers)
        return wire

    async def is_closed(self, layers: Layers) -> LayerResult | None:
        """See ``TcpDoor``."""
        wire: ByteWire | None = None
        try:
            # As long as a token of ours, so that nothing but its value can tell it from one.
            wire = await self._engine.dial_reach("up_" + secrets.token_urlsafe(32))
            async with asyncio.timeout(REFUSAL_SECONDS):
                await wire.receive()
        except UnderpassError as error:
            if findings.blame(reason_of(error)) is not Layer.GATE:
                raise self._shut(layers, error) from None
            self._pass_outer(layers)
            return LayerResult(LayerStatus.PASSED)
        except TimeoutError:
            self._pass_outer(layers)
            return failure(findings.GATE_UNPROVEN, "a wrong token")
        except OSError as error:
            raise _unreachable(layers, error) from None
        finally:
            if wire is not None:
                await wire.close()
        self._pass_outer(layers)
        return failure(findings.GATE_OPEN, "a wrong token")

    def _shut(self, layers: Layers, error: UnderpassError) -> DoorShut:
        if findings.blame(reason_of(error)) not in OUTER_DOOR:
            self._pass_outer(layers)
        return read_refusal(layers, error)

    def _pass_outer(self, layers: Layers) -> None:
        layers[Layer.NAME] = LayerResult(LayerStatus.PASSED)
        layers[Layer.TLS] = LayerResult(self._tls)
        layers[Layer.RELAY] = LayerResult(LayerStatus.PASSED)


def read_refusal(layers: Layers, error: UnderpassError) -> DoorShut:
    """What a refused or broken reach connection of the owner's own says."""
    code = reason_of(error)
    layer = findings.blame(code)
    if layer is Layer.GATE:
        # Our own token was refused: the gatehouse there is not the one we know.
        return DoorShut(layers, Layer.GATEHOUSE, findings.PROOF_NOT_TAKEN, code)
    return DoorShut(layers, layer, code, error.message)


def reason_of(error: UnderpassError) -> str:
    """The code that says most: a reach connection that was refused or broken off carries the
    relay's or the gatehouse's own word in ``why``."""
    if error.code == REACH_REFUSED:
        why = getattr(error, "why", "")
        return why if findings.is_known(why) else REACH_REFUSED
    return error.code


def _unreachable(layers: Layers, error: OSError) -> DoorShut:
    why = (error.strerror or type(error).__name__).lower()
    return DoorShut(layers, Layer.RELAY, findings.RELAY_UNREACHABLE, why)


class _VisitWire:
    """A visit to a public port as a byte wire."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    async def send(self, data: bytes) -> None:
        self._visit.writer.write(data)
        await self._visit.writer.drain()

    async def receive(self) -> bytes:
        return await self._visit.reader.read(4096)

    async def close(self) -> None:
        self._visit.close()
