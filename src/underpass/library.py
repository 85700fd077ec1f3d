"""``underpass.open``: a tunnel for the length of a ``with`` block, in a program of one's own.

    async with underpass.open(3001, name="tools") as tunnel:
        print(tunnel.url, tunnel.access.token_file)

    with underpass.open("mcp+http://localhost:3001/mcp") as tunnel:
        print(tunnel.url)

The plain form keeps the tunnel on an event loop in a thread of its own, which ends with the block;
what it gives has the same words, and its calls wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from underpass.model.errors_run import NoSuchTunnel
from underpass.model.gate_rules import parse_gates
from underpass.model.options import (
    OPEN_TIMEOUT_SECONDS,
    OAuthOptions,
    OpenOptions,
    RelayAccess,
)
from underpass.model.origin import as_mcp, parse_origin
from underpass.model.spec import DEFAULT_LEASE, LeaseTerms, TunnelSpec

if TYPE_CHECKING:
    from underpass.assembly import OpenTunnel
    from underpass.model.status import TunnelStatus
    from underpass.model.verdict import Verdict

T = TypeVar("T")


@dataclass(slots=True)
class Opening:
    """A tunnel that opens when its block is entered and closes when it is left."""

    spec: TunnelSpec
    options: OpenOptions
    _tunnel: OpenTunnel | None = None
    _keeper: _Keeper | None = None

    async def __aenter__(self) -> OpenTunnel:
        from underpass.assembly import open_tunnel

        self._tunnel = await open_tunnel(self.spec, self.options)
        return self._tunnel

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tunnel is not None:
            await self._tunnel.close()

    def __enter__(self) -> PlainTunnel:
        self._keeper = _Keeper(self)
        try:
            return PlainTunnel(self._keeper, self._keeper.opened.result())
        except BaseException:
            # An interrupt, too, leaves nothing behind.
            self._keeper.end(hurry=True)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._keeper is not None
        self._keeper.end()


class PlainTunnel:
    """An open tunnel, for a program without an event loop. Any thread may call it."""

    def __init__(self, keeper: _Keeper, tunnel: OpenTunnel) -> None:
        self._keeper = keeper
        self._tunnel = tunnel
        self.access = tunnel.access
        self.verdict = tunnel.verdict
        """Of the first proof."""

    @property
    def url(self) -> str | None:
        """Where visitors come; None for a tunnel that is met by ``underpass reach`` only."""
        return self._tunnel.url

    def status(self) -> TunnelStatus:
        """The present snapshot."""
        return self._tunnel.status()

    def prove(self) -> Verdict:
        """Prove it now, through its public door; the verdict, passed or not."""
        return self._keeper.run(self._tunnel.prove())

    def renew(self, seconds: int) -> TunnelStatus:
        """Move the lease's end to ``seconds`` from now; raises ``Refused`` beyond policy."""
        return self._keeper.run(self._tunnel.renew(seconds))

    def wait_closed(self) -> str:
        """Wait until somebody closes it, or its lease ends; returns why. Raises what ended it when
        that is an error."""
        return self._keeper.run(self._tunnel.wait_closed())


class _Keeper:
    """The event loop on which a plain block's tunnel lives, in a thread of its own."""

    def __init__(self, opening: Opening) -> None:
        self.opened: Future[OpenTunnel] = Future()
        self._opening = opening
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_hurried = False
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="underpass tunnel", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` there, and wait for it."""
        if not self._thread.is_alive():
            work.close()
            raise NoSuchTunnel(self._opening.spec.name)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def end(self, *, hurry: bool = False) -> None:
        """Close the tunnel and wait until nothing is left; raises what the closing raised.

        With ``hurry``, or interrupted while it waits, it is cancelled.
        """
        self._tell(self._hurry if hurry else self._leaving.set)
        try:
            self._thread.join()
        except BaseException:
            self._tell(self._hurry)
            self._thread.join()
            raise
        if self._failed is not None and not hurry:
            raise self._failed

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._keep())
        except BaseException as error:
            if self.opened.done():
                self._failed = error
            else:
                self.opened.set_exception(error)

    async def _keep(self) -> None:
        self._task = asyncio.current_task()
        if self._is_hurried:
            raise asyncio.CancelledError
        async with self._opening as tunnel:
            self.opened.set_result(tunnel)
            await self._leaving.wait()

    def _tell(self, what: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing is left to be told
            self._loop.call_soon_threadsafe(what)

    def _hurry(self) -> None:
        self._is_hurried = True
        if self._task is not None:
            self._task.cancel()


def open(
    origin: int | str,
    *,
    mcp: bool = False,
    name: str = "",
    gates: Iterable[str] = (),
    public: bool = False,
    seconds: int = DEFAULT_LEASE,
    idle_seconds: int | None = None,
    owner: str = "",
    purpose: str = "",
    engines: Iterable[str] = ("relay",),
    engine_options: Mapping[str, str] | None = None,
    relay: str | None = None,
    relay_ca: Path | None = None,
    enrol_token_file: Path | None = None,
    token_file: Path | None = None,
    timeout: float = OPEN_TIMEOUT_SECONDS,
    oauth: OAuthOptions | None = None,
    tell_visitor: bool = False,
    health_path: str | None = None,
    cors: Iterable[str] = (),
    quota: Iterable[str] = (),
    capture: Literal["full", "heads", "off"] = "full",
    pass_env: Iterable[str] = (),
) -> Opening:
    """Declare a tunnel to ``origin`` (as on the command line; a number is a port).

    The words are those of ``underpass open``: ``gates`` are texts like ``bearer`` or
    ``/hooks/*=signature:github``, ``seconds`` is the lease, ``engines`` are ranked, best first, and
    ``engine_options`` are ``KEY`` for the first or ``ENGINE.KEY``; ``mcp`` says that the origin is
    an MCP server, as ``mcp+http://`` does. ``oauth`` says how people sign in at an ``oauth`` gate
    (by itself: the owner lets them in by ``underpass approve``), ``tell_visitor`` that the origin
    hears who came, ``pass_env`` which variables a server behind ``mcp+stdio:`` gets, by their
    names. Enter it with ``async with`` or ``with``; that returns when a first proof has passed and
    raises the ``UnderpassError`` that stood in the way, with nothing left behind.
    """
    from underpass.api.owner import login_name
    from underpass.api.places import runtime_dir, state_dir

    plain, rules = parse_gates(gates)
    declared = parse_origin(str(origin))
    spec = TunnelSpec(
        as_mcp(declared) if mcp else declared,
        name=name,
        gates=plain,
        rules=rules,
        public=public,
        lease=LeaseTerms(
            owner=owner or login_name(),
            purpose=purpose,
            seconds=seconds,
            idle_seconds=idle_seconds,
        ),
        engines=tuple(engines),
        health_path=health_path,
        cors=tuple(cors),
        pass_env=tuple(pass_env),
    )
    options = OpenOptions(
        state_dir=state_dir(),
        runtime_dir=runtime_dir(),
        relay=RelayAccess(url=relay, ca=relay_ca),
        enrol_token_file=enrol_token_file,
        token_file=token_file,
        timeout=timeout,
        oauth=OAuthOptions() if oauth is None else oauth,
        tell_visitor=tell_visitor,
        engine_options=tuple((engine_options or {}).items()),
        quota=tuple(quota),
        capture=capture,
    )
    return Opening(spec, options)
