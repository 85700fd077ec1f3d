"""A lane with its present link: feeds the pure lane, carries out what it says.

Writes are joined once per turn of the loop: whatever streams queue during a turn leaves in one
``writelines``. The runner owns no task; it has one timer, for acknowledgements.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from underpass.relay.protocol.budget import ReceiveBudget, ReplayAccount
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.events import (
    Aborted,
    DataReceived,
    EndReceived,
    HeadReceived,
    LaneEvent,
    LeaseSaid,
    Opened,
    Stopped,
    TrailersReceived,
    Writable,
)
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.stream import Stream

if TYPE_CHECKING:
    from underpass.relay.links.link import Link
    from underpass.relay.links.owner import StreamOwner

logger = logging.getLogger(__name__)


class LaneRunner:
    """One lane on an event loop.

    ``on_opened`` gives a stream that the peer opened its owner. ``on_link_lost(runner, link)`` is
    called when the present link ends while the lane lives; ``on_closed(runner, code)`` when the
    lane is given up, by either side's doing. ``on_lease`` gets what the peer says of the lease.
    """

    def __init__(
        self,
        identity: bytes,
        *,
        opener: bool,
        budget: ReceiveBudget,
        account: ReplayAccount,
        loop: asyncio.AbstractEventLoop,
        on_opened: Callable[[Stream], StreamOwner] | None = None,
        on_link_lost: Callable[[LaneRunner, Link], None] | None = None,
        on_closed: Callable[[LaneRunner, str], None] | None = None,
        on_lease: Callable[[float], None] | None = None,
    ) -> None:
        self._loop = loop
        self.lane = Lane(
            identity,
            opener=opener,
            budget=budget,
            account=account,
            wake=self._wake,
            now=loop.time(),
        )
        self.link: Link | None = None
        self._on_opened = on_opened
        self._on_link_lost = on_link_lost
        self._on_closed = on_closed
        self._on_lease = on_lease
        self._scheduled = False
        self._undelivered: deque[LaneEvent] = deque()
        self._ack_timer: asyncio.TimerHandle | None = None

    # -- links --------------------------------------------------------------------------------

    def attach(self, link: Link, *, generation: int, peer_received: int, peer_credit: int) -> None:
        """Let ``link`` carry the lane from now on; an older link is closed and forgotten.

        Raises ``OffsetMismatch``, with nothing changed: the caller closes the lane.
        """
        self.lane.attach(
            generation=generation,
            peer_received=peer_received,
            peer_credit=peer_credit,
            now=self._loop.time(),
        )
        old, self.link = self.link, link
        if old is not None and old is not link:
            old.release()
        link.carry(self)
        self._dispatch()

    def link_lost(self, link: Link) -> None:
        """Called by a link that ended."""
        if link is self.link:
            self.link = None
            self.lane.detach(self._loop.time())
            if self._on_link_lost is not None:
                self._on_link_lost(self, link)

    def drop_link(self) -> None:
        """Listen to the present link no more, without telling anybody: its successor is due."""
        link, self.link = self.link, None
        if link is not None:
            self.lane.detach(self._loop.time())
            link.release()

    def close(self, code: str) -> None:
        """Give the lane up, with its streams and its link. Idempotent."""
        if self.lane.closed:
            return
        link, self.link = self.link, None
        self.lane.close(code)
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if link is not None:
            link.release()
        self._dispatch()
        if self._on_closed is not None:
            self._on_closed(self, code)

    # -- bytes --------------------------------------------------------------------------------

    def data_received(self, link: Link, data: bytes, now: float) -> None:
        """Called by a link with lane bytes; a link that was replaced is not listened to."""
        if link is not self.link:
            return
        lane = self.lane
        try:
            frames = lane.receive_data(data, now)
        except ProtocolViolation as error:
            logger.warning("lane given up: %s", error.reason)
            self._dispatch()
            self.close(error.code)
            return
        if lane.has_events:
            self._dispatch()
        if frames:
            for kind, payload in frames:
                link.link_frame_received(kind, payload)
        if self._ack_timer is None:
            deadline = lane.next_deadline()
            if deadline is not None:
                self._ack_timer = self._loop.call_at(deadline, self._ack_due)

    def flush(self) -> None:
        """Write what may be written now."""
        self._scheduled = False
        link = self.link
        if link is None or link.writing_paused:
            return
        buffers = self.lane.data_to_send(self._loop.time())
        if buffers:
            link.write(buffers)
        if self.lane.has_events:
            self._dispatch()

    def _wake(self) -> None:
        if not self._scheduled and self.link is not None:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def _ack_due(self) -> None:
        self._ack_timer = None
        self.lane.tick(self._loop.time())
        deadline = self.lane.next_deadline()
        if deadline is not None and deadline > self._loop.time():
            self._ack_timer = self._loop.call_at(deadline, self._ack_due)

    # -- events -------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        for event in self.lane.events():
            if event.__class__ is DataReceived:  # by far the most frequent
                owner = event.stream.owner
                if owner is not None:
                    owner.data_received(event.data)
                continue
            if isinstance(event, LeaseSaid):
                if self._on_lease is not None:
                    self._on_lease(event.end)
                continue
            owner = event.stream.owner
            if owner is not None:
                _deliver(owner, event)
            elif isinstance(event, Opened):
                self._opened(event.stream)

    def _opened(self, stream: Stream) -> None:
        if self._on_opened is None:
            stream.abort("refused")
            stream.stop("refused")
        else:
            stream.owner = self._on_opened(stream)


def _deliver(owner: StreamOwner, event: LaneEvent) -> None:
    # the order is that of how often they come
    if isinstance(event, EndReceived):
        owner.end_received()
    elif isinstance(event, HeadReceived):
        owner.head_received(event.head)
    elif isinstance(event, Writable):
        owner.resume_writing()
    elif isinstance(event, TrailersReceived):
        owner.trailers_received(event.trailers)
    elif isinstance(event, Aborted):
        owner.aborted(event.code)
    elif isinstance(event, Stopped):
        owner.stopped(event.code)
