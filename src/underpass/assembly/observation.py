"""The watch on one tunnel put together: its recorder, its meter, their files and their doors."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Any

from underpass.api.records import ReplayWish
from underpass.assembly.engines import Chosen
from underpass.assembly.errors import MetricsNotListening
from underpass.assembly.session import SessionWatch
from underpass.decide.quotas import Measure, QuotaFact, parse_quotas
from underpass.drivers.base import Engine
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.guard.control_ports import ControlPorts
from underpass.guard.policy import Policy
from underpass.guard.private_files import private_directory
from underpass.http.messages import RequestHead
from underpass.model.options import OpenOptions
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec
from underpass.observe.errors import CaptureIsOff, ReplayUnanswered
from underpass.observe.looking import Captures
from underpass.observe.meter import Meter, Usage
from underpass.observe.metrics import TunnelNumbers, metrics_text
from underpass.observe.observer import Capture, Follower, Observer
from underpass.observe.quota import Warned, month_of, parse_quota
from underpass.observe.record import exchange_object
from underpass.observe.schema import FILE
from underpass.observe.writer import CaptureWriter
from underpass.relay.server.health_door import HealthDoor
from underpass.supervise.supervisor import Supervisor


class Watched:
    """Implements ``api.control.Watched`` for one tunnel."""

    def __init__(self, observer: Observer, session: SessionWatch | None = None) -> None:
        self.observer = observer
        self.house: Gatehouse | None = None
        """Set as soon as there is one."""
        self._session = session
        self._supervisor: Supervisor | None = None

    def attach(self, supervisor: Supervisor) -> None:
        """Its name and its changes are those of ``supervisor`` from now on."""
        self._supervisor = supervisor
        self.observer.tunnel = supervisor.name
        self.observer.on_warning = self._warned

    def meter(self) -> Mapping[str, Any] | None:
        """What was carried; None: nothing is metered."""
        numbers = self.observer.statistics()  # first: it settles what has ended
        if self._session is not None:
            self._session.tell()
        meter = self.observer.meter
        if meter is None:
            return None
        return {
            **meter.to_dict(),
            "capture": str(self.observer.capture),
            "captured": numbers.captured,
            "dropped": numbers.dropped,
        }

    def follow(self) -> Follower:
        """Exchanges as they end. Raises ``CaptureIsOff``."""
        if self.observer.capture is Capture.OFF:
            raise CaptureIsOff(self.observer.tunnel)
        return self.observer.follow()

    async def flush(self) -> None:
        """Wait until what ended before can be read from the file."""
        await self.observer.flush()

    async def replay(self, wish: ReplayWish) -> Mapping[str, Any]:
        """Send a request once more; raises ``ReplayUnanswered`` when no head came."""
        if self.house is None:
            raise ReplayUnanswered(wish.of, wish.seconds)
        body = base64.b64decode(wish.body)
        head = RequestHead(
            wish.method.encode("latin-1"),
            wish.target.encode(),
            wish.host.encode("latin-1"),
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in wish.headers],
            len(body),
        )
        tape = await self.house.replay(head, body, of=wish.of, seconds=wish.seconds)
        if tape.response is None and tape.code == "replay-over":
            raise ReplayUnanswered(wish.of, wish.seconds)
        return exchange_object(*self.observer.developed(tape))

    def numbers(self) -> TunnelNumbers:
        """For the metrics."""
        supervisor, house = self._supervisor, self.house
        statistics = None if house is None else house.statistics()
        return TunnelNumbers(
            name=self.observer.tunnel,
            live=supervisor is not None and str(supervisor.status().state) == "live",
            denied=statistics.denied if statistics else 0,
            origin_failures=statistics.origin_failures if statistics else 0,
            proofs=statistics.proofs if statistics else 0,
            observer=self.observer.statistics(),
        )

    def _warned(self, warned: Warned) -> None:
        if self._supervisor is not None:
            self._supervisor.quota_warned(
                warned.what, warned.used, warned.limit, warned.whose, warned.source
            )


async def watch(
    spec: TunnelSpec, options: OpenOptions, policy: Policy, chosen: Chosen, stack: AsyncExitStack
) -> Watched | None:
    """The watch on a tunnel, which ends with ``stack``; None when it is neither recorded nor
    metered. Raises what its file is at fault with, and ``QuotaMalformed``."""
    quota = parse_quota(options.quota)
    capture = policy.narrow_capture(options.capture)
    if not options.meter and capture == "off":
        return None
    path = options.state_dir / FILE
    await asyncio.to_thread(private_directory, options.state_dir)
    writer = await asyncio.to_thread(CaptureWriter, path)
    stack.push_async_callback(writer.close)
    now = time.time()

    def read_usage() -> Usage:
        with Captures(path) as captures:
            return captures.usage(spec.name, month_of(now))

    before = await asyncio.to_thread(read_usage) if spec.name else None
    meter = None
    if options.meter:
        vendors = quotas_of(chosen.way)
        is_tcp = spec.kind is Kind.TCP
        meter = Meter(quota, unix=now, before=before, vendors=vendors, is_tcp=is_tcp)
    observer = Observer(spec.name or "tunnel", writer=writer, capture=Capture(capture), meter=meter)
    stack.push_async_callback(observer.close)
    return Watched(observer, _watch_session(observer, chosen.engine, stack))


async def serve_metrics(
    watched: Watched | None, options: OpenOptions, doors: ControlPorts, stack: AsyncExitStack
) -> None:
    """Serve ``/metrics`` where ``options`` say; raises ``MetricsNotListening``."""
    if options.metrics_listen is None or watched is None or watched.observer.meter is None:
        return
    loop = asyncio.get_running_loop()
    text = metrics_text(watched.numbers, watched.observer.meter)
    door = HealthDoor(loop, is_healthy=lambda: watched.numbers().live, metrics=text)
    host, port = options.metrics_listen
    try:
        server = await loop.create_server(door.connection, host, port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise MetricsNotListening(f"{host}:{port}", why) from None
    stack.callback(server.close)
    for socket in server.sockets:
        address = socket.getsockname()
        doors.register(address[0], address[1], "the tunnel's metrics")


def quotas_of(way: str) -> tuple[QuotaFact, ...]:
    """The quotas that vendors set for ``way``, each told as that one's."""
    text = (files("underpass.decide") / "quotas.toml").read_text("utf-8")
    return tuple(replace(fact, ways=(way,)) for fact in parse_quotas(text).of(way))


def _watch_session(
    observer: Observer, engine: Engine, stack: AsyncExitStack
) -> SessionWatch | None:
    """Who watches how long the vendor's session lasts; None where the vendor ends none."""
    fact = None if observer.meter is None else observer.meter.vendors.of(Measure.SESSION)
    if fact is None or fact.amount is None:
        return None
    loop = asyncio.get_running_loop()
    session = SessionWatch(engine, fact.amount, partial(observer.reach, Measure.SESSION), loop)
    stack.callback(session.close)
    return session
