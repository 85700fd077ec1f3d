"""One visitor's byte stream and its connection to the origin: tcp, reach, and after an upgrade.

Bytes, FIN and reset are passed on as what they are. Before the origin is dialled the guard has
judged; while the gatehouse is armed, the first bytes are looked at too (``arm``).
"""

from __future__ import annotations

import asyncio

from underpass.gatehouse import proof
from underpass.gatehouse.arm import FIRST_BYTE_SECONDS
from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.endings import Ending
from underpass.gatehouse.foreign import judge_foreign
from underpass.gatehouse.house import Dial, House
from underpass.gatehouse.observed import note_denied, note_proof
from underpass.gatehouse.origin.connection import OriginConnection
from underpass.gatehouse.ports import Peer, Visitor
from underpass.guard.gates import Deny
from underpass.http.messages import Headers
from underpass.http.websocket import POLICY, FrameBoundary, close_frame

MAX_EARLY_BYTES = 1024 * 1024
# What may come before the origin answers the dial. A lane's credit is smaller; a local door's
# window (256 KiB) may be passed by a read or two of uvloop's (256,000 bytes each).

WORTH_KEEPING = 32 * 1024
# A view of so many bytes is written as it is: at most eight times as much (a read) is held.


class ByteExchange:
    """Both faces of one byte stream: ``ports.Exchange`` and ``OriginUser``."""

    __slots__ = (
        "_connection",
        "_dial",
        "_down_ended",
        "_early",
        "_ending",
        "_first_byte",
        "_frames",
        "_house",
        "_over",
        "_peer",
        "_started",
        "_status",
        "_timer",
        "_up_ended",
        "_visitor",
    )

    def __init__(self, house: House, visitor: Visitor, peer: Peer) -> None:
        self._house = house
        self._visitor = visitor
        self._peer: Peer | None = peer
        """None once the address was judged, or when a token was judged in its place."""
        self._connection: OriginConnection | None = None
        self._dial: Dial | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early = bytearray()
        self._up_ended = False
        self._down_ended = False
        self._over = False
        self._status = 0
        self._started = house.loop.time()
        self._first_byte: float | None = None
        self._ending: Ending | None = None
        self._frames: FrameBoundary | None = None
        """Of what goes to the visitor of a WebSocket that may have to be ended."""
        house.books.open_bytes += 1

    # How an exchange begins: one of these three.

    def begin(self) -> None:
        """A visitor of a public port: judged by address."""
        self._house.books.byte_exchanges += 1
        if self._house.arm.is_armed:
            self._wait_first_byte()
        else:
            self._judge_and_dial()

    def begin_reach(self, token: str) -> None:
        """A visitor with a token: judged by it, before anything else."""
        self._house.books.byte_exchanges += 1
        self._peer = None
        if not self._house.guard.judge_token(token):
            self._deny("token-refused", "bearer")
        elif self._house.arm.is_armed:
            self._wait_first_byte()
        else:
            self._judge_and_dial()

    def begin_upgraded(
        self,
        connection: OriginConnection,
        started: float,
        rest: bytes,
        *,
        ending: Ending | None = None,
        is_websocket: bool = False,
    ) -> None:
        """Go on with a connection on which the origin has answered 101, then ``rest``."""
        self._ending = ending
        if ending is not None and is_websocket:
            self._frames = FrameBoundary()
        self._peer = None
        self._started = started
        self._status = 101
        self._first_byte = self._house.loop.time()
        self._connection = connection
        connection.user = self
        if rest:
            self.origin_data(memoryview(rest))

    # Endable

    def admission_over(self, code: str) -> None:
        """See ``Endable``. A WebSocket is closed by a frame where one may stand and is taken."""
        frames = self._frames
        if self._over or frames is None or not frames.is_between_frames or self._visitor.room <= 0:
            self._break(code)
            return
        if self._connection is not None:
            self._connection.abort()
        self._close(code)
        self._visitor.send_data(close_frame(POLICY, code))
        self._visitor.send_end()
        self._visitor.stop(code)

    # The visitor's side (ports.Exchange).

    def data_received(self, data: bytes | memoryview) -> None:
        if self._over or self._up_ended:
            return
        connection = self._connection
        if connection is not None:
            count = len(data)
            self._house.books.bytes_up += count
            # A small view is copied: if the origin is slow it would hold a whole read in memory.
            connection.write(data if count >= WORTH_KEEPING else bytes(data), count)
            return
        self._early += data
        if len(self._early) > MAX_EARLY_BYTES:
            self._break("over-limit")
        elif self._timer is not None:
            self._judge_first_bytes()

    def trailers_received(self, trailers: Headers) -> None:
        """A byte stream has none: ignored."""

    def end_received(self) -> None:
        if self._over or self._up_ended:
            return
        self._up_ended = True
        if self._connection is not None:
            self._connection.write_end()
            self._finish_if_both_ended()
        elif self._timer is not None:
            self._judge_and_dial()

    def visitor_left(self, code: str) -> None:
        self._break(code)

    def answer_unwanted(self, code: str) -> None:
        # TCP has no word for it either: the origin learns of it when it sends.
        self._down_ended = True
        if self._connection is not None:
            self._connection.resume()
            self._finish_if_both_ended()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    # The origin's side (OriginUser).

    @property
    def room(self) -> int:
        return self._visitor.room if not self._down_ended else 1

    def origin_ready(self, connection: OriginConnection) -> None:
        if self._over:
            connection.abort()
            return
        self._dial = None
        self._connection = connection
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            self._house.books.bytes_up += len(early)
            connection.write(early, len(early))
        if self._up_ended:
            connection.write_end()

    def origin_refused(self, code: str) -> None:
        if not self._over:
            self._dial = None
            self._house.books.origin_failures += 1
            self._break(code)

    def origin_waits(self) -> None:
        if self._connection is not None and self._visitor.send_data(b""):
            self._connection.resume()

    def origin_data(self, data: memoryview) -> None:
        connection = self._connection
        if self._down_ended or connection is None:
            self._break("visitor-left")  # it takes no more: say so as TCP would, by a reset
            return
        if self._first_byte is None:
            self._first_byte = self._house.loop.time()
        part = bytes(data)
        self._house.books.bytes_down += len(part)
        if self._frames is not None:
            self._frames.receive_data(part)
        if not self._visitor.send_data(part) and not self._over:
            connection.pause()

    def origin_ended(self) -> None:
        if not self._down_ended:
            self._down_ended = True
            self._visitor.send_end()
        self._finish_if_both_ended()

    def origin_lost(self, error: Exception | None) -> None:
        if self._over:
            return
        self._connection = None
        if self._up_ended and self._down_ended:
            self._close("")
            return
        self._house.books.origin_failures += 1
        self._break("origin-broke")

    def origin_drained(self, count: int) -> None:
        if not self._over:
            self._visitor.drained(count)

    # Before the origin is dialled.

    def _wait_first_byte(self) -> None:
        self._timer = self._house.loop.call_later(FIRST_BYTE_SECONDS, self._judge_and_dial)

    def _judge_first_bytes(self) -> None:
        house, first = self._house, bytes(self._early[: proof.TCP_PREFIX_BYTES])
        if house.arm.could_become(first):
            return
        foreign = house.arm.take(first)
        if foreign is None:
            self._judge_and_dial()
            return
        house.books.proofs += 1
        note_proof(self._visitor)
        house.books.byte_exchanges -= 1  # a proof is not metered
        settings = house.settings
        gate = judge_foreign(house, foreign).status if foreign else "skipped"
        answer = proof.make_tcp_answer(
            settings.proof_key, first, settings.name, settings.instance, gate
        )
        self._visitor.drained(len(self._early))
        self._visitor.send_data(answer)
        self._visitor.send_end()
        self._started = -1.0  # nor reported
        self._close("")

    def _judge_and_dial(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        peer, self._peer = self._peer, None
        if peer is not None:
            judged = self._house.guard.judge_address(peer.address)
            if isinstance(judged, Deny):
                self._deny(judged.code, "ip")
                return
        if self._house.observer is not None and self._house.observer.admit() is not None:
            self._break("quota-reached")
            return
        self._dial = self._house.pool.dial(self)

    # How an exchange ends.

    def _deny(self, code: str, gate: str) -> None:
        self._house.books.denied += 1
        note_denied(self._visitor, gate)
        self._break(code)

    def _finish_if_both_ended(self) -> None:
        if self._up_ended and self._down_ended and not self._over:
            if self._connection is not None:
                self._connection.close()
            self._close("")

    def _break(self, code: str) -> None:
        """End both directions at once so that neither side can think it complete. Idempotent."""
        if self._over:
            return
        if self._connection is not None:
            self._connection.abort()
        if self._dial is not None:
            self._dial.cancel()
        self._close(code)
        self._visitor.abort(code)
        self._visitor.stop(code)

    def _close(self, code: str) -> None:
        house = self._house
        self._over = True
        self._connection = None
        self._dial = None
        self._early.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ending is not None:
            self._ending.over()
        house.books.open_bytes -= 1
        if house.on_exchange is not None and self._started >= 0:
            now = None if code else house.loop.time()
            house.on_exchange(
                ExchangeRecord(self._started, self._first_byte, now, self._status, code)
            )
