"""``underpass.open``: a tunnel for the length of a ``with`` block, in a program of one's own.

    async with underpass.open(3001, name="tools") as tunnel:
        print(tunnel.url, tunnel.access.token_file)

    with underpass.open("mcp+http://localhost:3001/mcp") as tunnel:
        print(tunnel.url)

The plain form keeps the tunnel on an event loop in a thread of its own, which ends with the block.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

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


@dataclass(slots=True)
class Opening:
    """A tunnel that opens when its block is entered and closes when it is left."""

    spec: TunnelSpec
    options: OpenOptions
    _tunnel: OpenTunnel | None = None
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop = field(init=False)

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

    def __enter__(self) -> OpenTunnel:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="underpass tunnel", daemon=True
        )
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self.__aenter__(), self._loop).result()
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self.__aexit__(None, None, None), self._loop).result()
        finally:
            self._stop()

    def _stop(self) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def open(
    origin: int | str,
    *,
    mcp: bool = False,
    name: str = "",
    gates: Iterable[str] = (),
    public: bool = False,
    seconds: int = DEFAULT_LEASE,
    owner: str = "",
    purpose: str = "",
    relay: str | None = None,
    relay_ca: Path | None = None,
    enrol_token_file: Path | None = None,
    token_file: Path | None = None,
    timeout: float = OPEN_TIMEOUT_SECONDS,
    oauth: OAuthOptions | None = None,
    tell_visitor: bool = False,
    pass_env: Iterable[str] = (),
) -> Opening:
    """Declare a tunnel to ``origin`` (as on the command line; a number is a port).

    The words are those of ``underpass open``: ``gates`` are texts like ``bearer`` or
    ``/hooks/*=signature:github``, ``seconds`` is the lease; ``mcp`` says that the origin is an MCP
    server, as ``mcp+http://`` does. ``oauth`` says how people sign in at an ``oauth`` gate (by
    itself: the owner lets them in by ``underpass approve``), ``tell_visitor`` that the origin hears
    who came, ``pass_env`` which variables a server behind ``mcp+stdio:`` gets, by their names.
    Enter it with ``async with`` or ``with``; that returns when a first proof has passed
    and raises the ``UnderpassError`` that stood in the way, with nothing left behind.
    """
    from underpass.api.places import runtime_dir, state_dir

    plain, rules = parse_gates(gates)
    declared = parse_origin(str(origin))
    spec = TunnelSpec(
        as_mcp(declared) if mcp else declared,
        name=name,
        gates=plain,
        rules=rules,
        public=public,
        lease=LeaseTerms(owner=owner, purpose=purpose, seconds=seconds),
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
    )
    return Opening(spec, options)
