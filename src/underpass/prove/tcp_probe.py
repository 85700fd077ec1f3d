"""Proving a tcp tunnel: the gatehouse is armed, then told by the first bytes of a stream.

A byte stream has no header for a question, and a database that logs or blocks empty connections
must not be bothered every quarter of a minute. So the gatehouse, which lives beside the prover, is
armed for two seconds; the stream that then comes in through the public door and begins with the
armed bytes is answered by it and never dialled on. The origin is met only when it is asked for.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from underpass.drivers.base import ByteWire
from underpass.gatehouse.proof import TCP_ANSWER_BYTES, LayerAnswer, check_tcp_answer
from underpass.model.errors import UnderpassError
from underpass.model.verdict import Layer, LayerResult, LayerStatus
from underpass.prove import findings
from underpass.prove.clock import Clock
from underpass.prove.door import DoorShut, Layers, failure, silence
from underpass.prove.probes import Identity
from underpass.prove.schedule import PROBE_SECONDS
from underpass.prove.tcp_doors import TcpDoor, read_refusal
from underpass.prove.verdicts import Outcome

ARM_SECONDS: Final = 2.0
SEND_WITHIN: Final = 1.5
# 1.5 s after arming nothing is sent any more: the bytes could arrive when the gatehouse is armed no
# longer, and would go to the origin.


class Arms(Protocol):
    """What the prober of byte streams needs of the gatehouse."""

    def arm_probe(self, seconds: float = ARM_SECONDS, foreign: str = "") -> bytes:
        """The bytes by which a stream within ``seconds`` is known as a proof."""

    async def check_origin(self) -> LayerAnswer:
        """Reach the origin now, as a proof would."""


class TcpProbe:
    """The prober of one tcp tunnel. Satisfies ``Probes``."""

    def __init__(
        self,
        door: TcpDoor,
        gatehouse: Arms,
        identity: Identity,
        clock: Clock,
        *,
        stranger: str | None = None,
        seconds: float = PROBE_SECONDS,
    ) -> None:
        """``stranger`` is an address that an ``ip`` gate must refuse, None when there is none."""
        self._door = door
        self._gatehouse = gatehouse
        self._identity = identity
        self._clock = clock
        self._stranger = stranger
        self._seconds = seconds

    async def live(self, *, reach_origin: bool = True) -> Outcome:
        """Send a nonce through the public door to the gatehouse and back; then the origin's turn.

        Without ``reach_origin`` the origin hears nothing, and the outcome says nothing of it.
        """
        began = self._clock.now()
        layers, _ = await self._ask_gatehouse("")
        if reach_origin and layers.get(Layer.GATEHOUSE) == LayerResult(LayerStatus.PASSED):
            found = await self._gatehouse.check_origin()
            status = LayerStatus(found.status)
            layers[Layer.ORIGIN] = LayerResult(status, found.code, found.detail, found.ms)
        return Outcome(began, self._clock.now(), layers)

    async def closed(self) -> Outcome:
        """See whether strangers are refused: without the token, or by address."""
        began = self._clock.now()
        layers: Layers = {}
        try:
            async with asyncio.timeout(self._seconds):
                gate = await self._door.is_closed(layers)
        except DoorShut as shut:
            layers = shut.layers
        except TimeoutError:
            layers.update(silence(layers))
        else:
            if gate is None:
                layers = await self._ask_about_stranger()
            else:
                layers[Layer.GATE] = gate
        return Outcome(began, self._clock.now(), layers)

    async def _ask_about_stranger(self) -> Layers:
        if self._stranger is None:
            return {Layer.GATE: failure(findings.GATE_ADMITS_EVERYBODY)}
        layers, gate = await self._ask_gatehouse(self._stranger)
        if gate == LayerStatus.PASSED:
            layers[Layer.GATE] = LayerResult(LayerStatus.PASSED)
        elif gate == LayerStatus.FAILED:
            layers[Layer.GATE] = failure(findings.GATE_OPEN, self._stranger)
        elif gate is not None:
            layers[Layer.GATE] = failure(findings.GATE_UNPROVEN)
        return layers

    async def _ask_gatehouse(self, foreign: str) -> tuple[Layers, str | None]:
        """The armed stream: layers, and how the gatehouse judged ``foreign`` if it answered."""
        layers: Layers = {}
        identity = self._identity
        try:
            async with asyncio.timeout(self._seconds):
                await self._door.prepare(layers)
                armed_at = asyncio.get_running_loop().time()
                prefix = self._gatehouse.arm_probe(ARM_SECONDS, foreign)
                wire = await self._door.dial(layers)
                try:
                    if asyncio.get_running_loop().time() - armed_at > SEND_WITHIN:
                        raise DoorShut(layers, Layer.RELAY, findings.CONNECTION_TIMED_OUT, "slow")
                    answer = await _ask(wire, prefix, layers)
                finally:
                    await wire.close()
        except DoorShut as shut:
            return shut.layers, None
        except TimeoutError:
            return {**layers, **silence(layers)}, None
        layers[Layer.LINK] = LayerResult(LayerStatus.PASSED)
        gate = check_tcp_answer(identity.key, prefix, identity.name, identity.instance, answer)
        if gate is None:
            layers[Layer.GATEHOUSE] = failure(findings.PROOF_FORGED)
        else:
            layers[Layer.GATEHOUSE] = LayerResult(LayerStatus.PASSED)
        return layers, gate


async def _ask(wire: ByteWire, prefix: bytes, layers: Layers) -> bytes:
    answer = b""
    try:
        await wire.send(prefix)
        while len(answer) < TCP_ANSWER_BYTES:
            data = await wire.receive()
            if not data:
                break
            answer += data
    except UnderpassError as error:
        raise read_refusal(layers, error) from None
    except (OSError, EOFError):
        answer = b""
    if not answer:
        # TCP has no words: the relay ends a stream like this when the connector is away.
        raise DoorShut(layers, Layer.LINK, findings.ANSWER_CUT)
    return answer[:TCP_ANSWER_BYTES]
