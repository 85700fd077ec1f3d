"""Proving an HTTP tunnel: one MACed request through the public door, one without credentials.

Written on a plain connection and the project's own strict reader, not on an HTTP client library:
which layer failed is read from the step that failed, and a client hides its steps (it keeps
connections, follows redirects, retries, and reports one error for looking up, connecting and
shaking hands). What is sent are two fixed requests; there is nothing else for a client to do.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from underpass.gatehouse.proof import (
    ANSWER_HEADER_LOWER,
    NONCE_BYTES,
    PROOF_HEADER,
    check_answer,
    make_request,
)
from underpass.http.messages import (
    EndOfMessage,
    Headers,
    Malformed,
    RequestHead,
    ResponseHead,
    lookup,
)
from underpass.http.reader import ResponseReader
from underpass.http.writer import request_bytes
from underpass.model.verdict import Layer, LayerResult, LayerStatus
from underpass.prove import findings
from underpass.prove.clock import Clock
from underpass.prove.door import Door, DoorShut, Layers, Visit, failure, silence
from underpass.prove.probes import Identity
from underpass.prove.schedule import PROBE_SECONDS
from underpass.prove.verdicts import Outcome

MAX_ANSWER_BYTES: Final = 16 * 1024
# A proof's body has some 400 bytes.

STRANGERS: Final = 4
# How many closed paths one check asks for; with more rules the next check goes on where it ended.

_USER_AGENT: Final = (b"User-Agent", b"underpass-prover")


ReadPage = Callable[[int, Mapping[str, str], str], str]
"""See ``ReadsPages`` of the drivers."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back from the public door."""

    head: ResponseHead
    body: bytes

    @property
    def code(self) -> str:
        """Our own word for why, or "" when the answer is not one of ours."""
        value = lookup(self.head.headers, b"underpass-error")
        return "" if value is None else value.decode("ascii", "replace")


class HttpProbe:
    """The prober of one HTTP tunnel. Satisfies ``Probes``."""

    def __init__(
        self,
        door: Door,
        identity: Identity,
        clock: Clock,
        *,
        stranger: str | None,
        gate_kinds: tuple[str, ...],
        closed_paths: tuple[str, ...] = ("/",),
        fields: Callable[[], Headers] = list,
        read_page: ReadPage | None = None,
        seconds: float = PROBE_SECONDS,
    ) -> None:
        """``stranger`` is an address that the ``ip`` gates must refuse, None when there is none;
        ``closed_paths`` are those where whoever shows nothing must be refused, one a rule;
        ``fields`` is what everybody shows to a vendor's gate outside ours; ``read_page`` says
        what an answer of the vendor's own means."""
        self._door = door
        self._identity = identity
        self._clock = clock
        self._stranger = stranger
        self._gate_kinds = gate_kinds
        self._fields = fields
        self._read_page = read_page
        self._closed_paths = deque(closed_paths if set(gate_kinds) - {"ip"} else ())
        self._seconds = seconds

    async def live(self, *, reach_origin: bool = True) -> Outcome:
        """Send a nonce through the public door to the origin and back.

        Over HTTP the origin is always reached: ``reach_origin`` is for byte streams.
        """
        began = self._clock.now()
        layers = await self._ask_gatehouse("")
        return Outcome(began, self._clock.now(), layers)

    async def closed(self) -> Outcome:
        """See whether strangers are refused: by address, and without credentials."""
        began = self._clock.now()
        layers: Layers = {}
        if "ip" in self._gate_kinds:
            layers = await self._ask_about_stranger()
        for _ in range(min(len(self._closed_paths), STRANGERS)):
            if _has_failed(layers):
                break
            layers = await self._come_as_stranger(self._closed_paths[0])
            if not _has_failed(layers):
                # A path that has let a stranger in is asked again first, until it does not.
                self._closed_paths.rotate(-1)
        return Outcome(began, self._clock.now(), layers)

    async def _ask_gatehouse(self, foreign: str) -> Layers:
        """The MACed request; every layer that its answer vouches for, or the one that failed."""
        nonce, identity = secrets.token_bytes(NONCE_BYTES), self._identity
        value = make_request(
            identity.key, identity.name, nonce=nonce, now=self._clock.unix(), foreign=foreign
        )
        answer, layers = await self._exchange([(PROOF_HEADER, value)])
        if answer is None:
            return layers
        vouched = lookup(answer.head.headers, ANSWER_HEADER_LOWER)
        if vouched is None:
            return {**layers, **self._read_unvouched(answer)}
        layers[Layer.LINK] = LayerResult(LayerStatus.PASSED)
        try:
            proof = check_answer(
                identity.key, nonce, identity.name, identity.instance, vouched, answer.body
            )
        except msgspec.DecodeError:
            proof = None
        if proof is None:
            return {**layers, Layer.GATEHOUSE: failure(findings.PROOF_FORGED)}
        for layer in (Layer.GATEHOUSE, Layer.GATE, Layer.ORIGIN):
            found = proof.layers.get(layer)
            if found is not None:
                status = LayerStatus(found.status)
                layers[layer] = LayerResult(status, found.code, found.detail, found.ms)
        return layers

    async def _ask_about_stranger(self) -> Layers:
        if self._stranger is None:
            return {Layer.GATE: failure(findings.GATE_ADMITS_EVERYBODY)}
        layers = await self._ask_gatehouse(self._stranger)
        # This question was about the gate: whether the origin answers is the live probe's.
        layers.pop(Layer.ORIGIN, None)
        gate = layers.get(Layer.GATE)
        if gate is not None and gate.status is LayerStatus.FAILED:
            layers[Layer.GATE] = failure(findings.GATE_OPEN, self._stranger)
        elif not _has_failed(layers) and (gate is None or gate.status is not LayerStatus.PASSED):
            layers[Layer.GATE] = failure(findings.GATE_UNPROVEN)
        return layers

    async def _come_as_stranger(self, path: str) -> Layers:
        answer, layers = await self._exchange([], path)
        if answer is None:
            return layers
        code, status = answer.code, answer.head.status
        if code.startswith(findings.GATE_PREFIX) and status in (401, 403):
            layers[Layer.GATE] = LayerResult(LayerStatus.PASSED)
        elif code and findings.blame(code) is Layer.ORIGIN:
            # The gatehouse went to the origin for somebody who had shown nothing.
            layers[Layer.GATE] = failure(findings.GATE_OPEN, code)
        elif code:
            layers[findings.blame(code)] = failure(code, f"status {status}")
        elif status >= 500 or (status >= 400 and self._page(answer)):
            layers |= self._read_unvouched(answer)
        else:
            layers[Layer.GATE] = failure(findings.GATE_OPEN, f"status {status}")
        return layers

    def _read_unvouched(self, answer: _Answer) -> Layers:
        """What an answer says that carries no proof."""
        code, status = answer.code, answer.head.status
        if not code:
            told = self._page(answer)
            detail = f"status {status}: {told}" if told else f"status {status}"
            return {Layer.RELAY: failure(findings.FOREIGN_ANSWER, detail)}
        if code == findings.EDGE_REFUSAL:
            return {Layer.RELAY: failure(findings.NOT_ADMITTED)}
        if code.startswith(findings.GATE_PREFIX):
            return {Layer.GATEHOUSE: failure(findings.PROOF_NOT_TAKEN, code)}
        return {findings.blame(code): failure(code, f"status {status}")}

    def _page(self, answer: _Answer) -> str:
        if self._read_page is None:
            return ""
        fields = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in answer.head.headers
        }
        return self._read_page(answer.head.status, fields, answer.body.decode("utf-8", "replace"))

    async def _exchange(self, headers: Headers, path: str = "/") -> tuple[_Answer | None, Layers]:
        """Send one GET as any visitor would. Without an answer the layers end with a failure."""
        passed: Layers = {}
        try:
            async with asyncio.timeout(self._seconds):
                visit = await self._door.enter(await self._door.look_up(passed), passed)
                try:
                    return await self._converse(visit, path, headers, passed), passed
                finally:
                    visit.close()
        except DoorShut as shut:
            return None, shut.layers
        except TimeoutError:
            return None, {**passed, **silence(passed)}

    async def _converse(self, visit: Visit, path: str, headers: Headers, layers: Layers) -> _Answer:
        host = self._door.address.authority.encode("ascii")
        fields = [_USER_AGENT, *self._fields(), *headers]
        head = RequestHead(b"GET", path.encode("ascii"), host, fields)
        try:
            visit.writer.write(request_bytes(head))
            await visit.writer.drain()
            return await _read_answer(visit, layers)
        except (OSError, EOFError):
            raise DoorShut(layers, Layer.RELAY, findings.ANSWER_CUT) from None


async def _read_answer(visit: Visit, layers: Layers) -> _Answer:
    """Read to the end of the answer, at most ``MAX_ANSWER_BYTES`` of it: a stranger's request
    that was let through may be answered with anything, for ever."""
    reader, head, body = ResponseReader(b"GET"), None, bytearray()
    while True:
        data = await visit.reader.read(MAX_ANSWER_BYTES)
        for event in reader.receive_data(data) if data else reader.receive_eof():
            if isinstance(event, ResponseHead):
                if event.status == 101 or event.status >= 200:
                    head = event
            elif isinstance(event, EndOfMessage):
                assert head is not None
                return _Answer(head, bytes(body))
            elif isinstance(event, Malformed):
                if data:
                    raise DoorShut(layers, Layer.RELAY, findings.ANSWER_MALFORMED)
                # After a head the gatehouse had answered, and the answer broke on its way.
                layer = Layer.RELAY if head is None else Layer.LINK
                raise DoorShut(layers, layer, findings.ANSWER_CUT)
            else:
                body += event
        if head is not None and (_is_not_ours(head) or len(body) > MAX_ANSWER_BYTES):
            return _Answer(head, bytes(body))


def _is_not_ours(head: ResponseHead) -> bool:
    return lookup(head.headers, ANSWER_HEADER_LOWER) is None


def _has_failed(layers: Layers) -> bool:
    return any(result.status is LayerStatus.FAILED for result in layers.values())
