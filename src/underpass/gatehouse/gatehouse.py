"""The one pipeline in front of the origin, behind whichever engine carries the traffic.

Takes visitors (``ports.Carrier``), lets the guard judge, answers proofs, and joins each visitor to
the origin. Everything is synchronous and runs on one event loop; the only tasks are dials.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict

from underpass.gatehouse.admission import OWN_PAGE, Admitted, OwnPage, admit
from underpass.gatehouse.allow_list import public_names
from underpass.gatehouse.arm import ProbeArm
from underpass.gatehouse.beginning import begin_admitted
from underpass.gatehouse.books import Books, ExchangeRecord, GatehouseStatistics
from underpass.gatehouse.delivery import deliver
from underpass.gatehouse.exchange_bytes import ByteExchange
from underpass.gatehouse.exchange_http import HttpExchange
from underpass.gatehouse.exchange_proof import ProofExchange
from underpass.gatehouse.hangup import HangupWatch
from underpass.gatehouse.held import HeldExchange
from underpass.gatehouse.house import GatehouseSettings, House
from underpass.gatehouse.inner_app import InnerApp, Pages
from underpass.gatehouse.mcp.care import McpCare
from underpass.gatehouse.measuring.door import Measurement, begin_measurement, open_measuring
from underpass.gatehouse.observed import Observed, is_strangers_proof
from underpass.gatehouse.origin.dialler import OriginDialler
from underpass.gatehouse.origin.pool import OriginPool
from underpass.gatehouse.origin.probe import OriginProbe
from underpass.gatehouse.origin.source import OriginSource
from underpass.gatehouse.own_answers import OwnAnswer
from underpass.gatehouse.ports import Exchange, Peer, Visitor
from underpass.gatehouse.proof import LayerAnswer, ProofChecker, ProofRequest
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_tls import TlsVisitor
from underpass.gatehouse.refused import refuse
from underpass.gatehouse.replay import replay
from underpass.gatehouse.tls_facts import note_server_names
from underpass.guard.gates import Guard, Later, NeedsBody
from underpass.http.cors import Cors
from underpass.http.messages import RequestHead
from underpass.model.origin import Kind
from underpass.observe.observer import Observer
from underpass.observe.tape import Tape

Verdict = Admitted | OwnAnswer | OwnPage | NeedsBody | Later


class Gatehouse:
    """Implements ``ports.Carrier`` for one tunnel. Made and used on one running event loop.

    ``tls`` holds the certificate for ``--tls passthrough``; replace it by ``set_tls``.

    Visitors may be answered before the ``open_…`` call returns. ``on_exchange`` is told of every
    exchange that ended, proofs excepted; ``observer`` records and meters them. ``permit`` is asked
    for each address and port before it is dialled, for a Unix socket with its path and 0.
    ``pages`` are served in the origin's place.
    """

    def __init__(
        self,
        settings: GatehouseSettings,
        guard: Guard,
        *,
        on_exchange: Callable[[ExchangeRecord], None] | None = None,
        permit: Callable[[str, int], bool] | None = None,
        tls: ssl.SSLContext | None = None,
        wall_clock: Callable[[], float] = time.time,
        observer: Observer | None = None,
        pages: Pages | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        books = Books()
        self._watch = HangupWatch(loop)
        self._tls = None if tls is None else note_server_names(tls)
        source = OriginSource(loop.time) if settings.peer == "machine" else None
        dialler = OriginDialler(settings.origin, loop, books, self._watch, permit, source)
        self._house = House(
            settings=settings,
            loop=loop,
            guard=guard,
            pool=OriginPool(dialler, loop, books),
            books=books,
            arm=ProbeArm(loop),
            proofs=ProofChecker(settings.proof_key, settings.name),
            cors=Cors(settings.cors) if settings.cors else None,
            wall_clock=wall_clock,
            on_exchange=on_exchange,
            public_hosts=frozenset(),
            public_origins=frozenset(origin.lower().encode() for origin in settings.cors),
            ends_tls=tls is not None,
            observer=observer,
            inner=None if pages is None else InnerApp(pages, loop),
        )
        if settings.kind is Kind.MCP:
            self._house.mcp = McpCare(settings.origin, settings.name)

    def set_public_urls(self, urls: Iterable[str]) -> None:
        """Say under which URLs the tunnel is public: what an mcp tunnel's visitors may name in
        Host and Origin, and those of passed-through TLS in Host. Until then an mcp tunnel with
        ``host_header`` ``origin``, and one with ``tls``, admits none."""
        urls = tuple(urls)
        hosts, origins = public_names(urls, self._house.settings.name)
        self._house.public_hosts = hosts
        cors = {origin.lower().encode() for origin in self._house.settings.cors}
        self._house.public_origins = origins | cors
        if self._house.mcp is not None:
            self._house.mcp.set_public_urls(urls)
        if self._house.inner is not None and urls:
            self._house.inner.rebase(urls[0])

    def set_tls(self, tls: ssl.SSLContext) -> None:
        """End passthrough visitors' TLS with ``tls`` from now on (a renewed certificate)."""
        self._tls = note_server_names(tls)

    # ports.Carrier

    def open_http(self, visitor: Visitor, head: RequestHead, peer: Peer) -> Exchange:
        """Begin one HTTP exchange."""
        house = self._house
        admitted = admit(house, head, peer)
        if isinstance(admitted, ProofRequest):
            if admitted.measure and house.measuring is not None:
                return open_measuring(house, house.measuring, visitor, head, admitted)
            proof = ProofExchange(house, visitor, admitted)
            proof.begin()
            return proof
        house.books.http_exchanges += 1
        if house.observer is not None:
            return self._open_observed(house.observer, visitor, head, peer, admitted)
        return self._begin_http(visitor, head, peer, admitted)

    def _open_observed(
        self, observer: Observer, visitor: Visitor, head: RequestHead, peer: Peer, verdict: Verdict
    ) -> Exchange:
        if isinstance(verdict, OwnAnswer) and verdict.gate is not None and is_strangers_proof(head):
            return self._begin_http(visitor, head, peer, verdict)
        tape = observer.begin("http", peer.address, head)
        if type(verdict) is Admitted:
            tape.strip, tape.identity = verdict.strip, verdict.identity
        observed = Observed(observer, visitor, tape)
        observed.exchange = self._begin_http(observed, head, peer, verdict)
        return observed

    def _begin_http(
        self, visitor: Visitor, head: RequestHead, peer: Peer, admitted: Verdict
    ) -> Exchange:
        house = self._house
        if admitted is OWN_PAGE:
            assert house.inner is not None
            return house.inner.open(visitor, head, peer)
        if type(admitted) is Admitted:
            return begin_admitted(house, visitor, head, admitted)
        if isinstance(admitted, (NeedsBody, Later)):
            held = HeldExchange(house, visitor, head, peer)
            held.begin(admitted)
            return held
        assert isinstance(admitted, OwnAnswer)
        exchange = HttpExchange(house, visitor, head)
        exchange.begin_answer(admitted)
        return exchange

    def open_bytes(self, visitor: Visitor, peer: Peer) -> Exchange:
        """Begin one byte stream to a tcp origin. To an origin of another kind there is none: bytes
        pass by the gates of its paths, and by everything that heads are judged by."""
        if self._house.settings.kind is not Kind.TCP:
            return refuse(visitor, "bytes-not-carried")
        observed = self._observe_bytes("tcp", visitor, peer)
        exchange = ByteExchange(self._house, observed or visitor, peer)
        if observed is not None:
            observed.exchange = exchange
        exchange.begin()
        return observed or exchange

    def open_reach(self, visitor: Visitor, peer: Peer, token: str) -> Exchange:
        """Begin one byte stream whose visitor showed ``token``; as ``open_bytes``."""
        if self._house.settings.kind is not Kind.TCP:
            return refuse(visitor, "bytes-not-carried")
        observed = self._observe_bytes("reach", visitor, peer)
        exchange = ByteExchange(self._house, observed or visitor, peer)
        if observed is not None:
            observed.exchange = exchange
        exchange.begin_reach(token)
        return observed or exchange

    def _observe_bytes(self, kind: str, visitor: Visitor, peer: Peer) -> Observed | None:
        observer = self._house.observer
        if observer is None:
            return None
        return Observed(observer, visitor, observer.begin(kind, peer.address))

    def open_tls(self, visitor: Visitor, peer: Peer) -> Exchange:
        """Begin one visitor's own TLS connection, ended here. Without a certificate of ours
        (``tls``) it is refused by an abort."""
        if self._tls is None:
            return refuse(visitor, "tls-not-ours")
        settings = DoorSettings(heartbeats=True, fin_departs=True)
        return TlsVisitor(self, visitor, peer, self._tls, settings, self._house.loop)

    # For the prover.

    def arm_probe(self, seconds: float = 2.0, foreign: str = "") -> bytes:
        """Await a proof on a byte stream for at most two seconds; the prefix it must begin with.

        ``foreign`` names an address whose refusal the answer shall state (``check_tcp_answer``).
        """
        return self._house.arm.arm(seconds, foreign)

    async def check_origin(self) -> LayerAnswer:
        """Reach the origin now, as a proof would."""
        found: asyncio.Future[LayerAnswer] = self._house.loop.create_future()
        probe = OriginProbe(self._house, found.set_result)
        probe.begin()
        try:
            return await found
        finally:
            probe.cancel()

    # For the owner.

    def measure(self) -> AbstractAsyncContextManager[Measurement | None]:
        """Open the measuring origin, here and on a port of its own; None: it is open already."""
        return begin_measurement(self._house)

    async def replay(self, head: RequestHead, body: bytes, *, of: str, seconds: float) -> Tape:
        """Send a recorded request to the origin once more (``replay``). There must be an
        observer."""
        assert self._house.observer is not None
        observer = self._house.observer
        return await replay(self._house, observer, head, body, of=of, seconds=seconds)

    async def deliver(self, head: RequestHead, *, seconds: float, limit: int) -> tuple[int, bytes]:
        """What a visitor from elsewhere who has passed the gates is answered (``delivery``)."""
        return await deliver(self._house, head, seconds=seconds, limit=limit)

    # For everybody.

    def statistics(self) -> GatehouseStatistics:
        """The numbers of this moment."""
        return GatehouseStatistics(**asdict(self._house.books), idle=self._house.pool.idle)

    def close(self) -> None:
        """Close every connection to the origin. Idempotent. Exchanges still open are abandoned:
        let their carriers end them before."""
        self._house.pool.close()
        self._house.endings.close()
        self._watch.close()
        if self._house.inner is not None:
            self._house.inner.close()

    async def wait_closed(self) -> None:
        """Wait until every connection that ``close`` closed is gone."""
        await self._house.pool.wait_closed()
        if self._house.inner is not None:
            await self._house.inner.wait_closed()
