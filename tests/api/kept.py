"""A tunnel kept by nobody but the test: the real port, driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from underpass.model.errors_relay import LeaseExpired
from underpass.model.events import (
    LeaseRenewed,
    ProofFailed,
    ProofPassed,
    TunnelChange,
    TunnelClosed,
)
from underpass.model.origin import Kind
from underpass.model.status import Lease, TunnelState, TunnelStatus
from underpass.model.verdict import Layer, LayerResult, LayerStatus, Verdict, judge

NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC


def verdict(*, failed: Layer | None = None, at: float = NOON) -> Verdict:
    results: dict[Layer, LayerResult] = {}
    for layer in Layer:
        if layer is failed:
            results[layer] = LayerResult(LayerStatus.FAILED, "origin-refused", "connection refused")
            break
        results[layer] = LayerResult(LayerStatus.PASSED, ms=1.0)
    return judge(results, at=at)


class KeptTunnel:
    """Implements ``Control`` for one tunnel in memory."""

    def __init__(self, name: str = "tools", *, url: str | None = None) -> None:
        self.url = url or f"https://{name}.relay.example.com"
        self.next_verdict = verdict()
        self.subscribers: list[asyncio.Queue[Mapping[str, object] | None]] = []
        self.subscribed = asyncio.Event()
        self.closed = asyncio.Event()
        self.released = asyncio.Event()
        self._status = TunnelStatus(
            name=name,
            url=None,
            kind=Kind.HTTP,
            state=TunnelState.PROVING,
            gates=("bearer",),
            lease=Lease("alice", "demo", NOON + 28_800),
            engine="relay",
        )

    def status(self) -> TunnelStatus:
        return self._status

    def go_live(self) -> None:
        self._status = replace(
            self._status, url=self.url, state=TunnelState.LIVE, verdict=verdict()
        )
        self.tell(ProofPassed(NOON, verdict()))

    def fail(self, layer: Layer) -> None:
        failed = verdict(failed=layer)
        self._status = replace(self._status, state=TunnelState.FAILING, verdict=failed)
        self.tell(ProofFailed(NOON + 10, layer, "origin-refused", failed))

    def tell(self, change: TunnelChange) -> None:
        for queue in self.subscribers:
            queue.put_nowait(change.to_dict(self._status))

    async def prove(self) -> Verdict:
        state = TunnelState.LIVE if self.next_verdict.ok else TunnelState.FAILING
        self._status = replace(self._status, url=self.url, state=state, verdict=self.next_verdict)
        return self.next_verdict

    async def renew(self, seconds: int) -> TunnelStatus:
        if seconds > 86_400:
            raise LeaseExpired(self._status.name)
        lease = replace(self._status.lease, ends_at=NOON + seconds)
        self._status = replace(self._status, lease=lease)
        self.tell(LeaseRenewed(NOON, lease.ends_at))
        return self._status

    async def close(self) -> None:
        self._status = replace(self._status, state=TunnelState.CLOSED)
        self.tell(TunnelClosed(NOON + 60, "asked"))
        for queue in self.subscribers:
            queue.put_nowait(None)
        self.closed.set()

    def subscribe(self) -> KeptChanges:
        changes = KeptChanges(self)
        self.subscribers.append(changes.queue)
        self.subscribed.set()
        return changes

    def reach_info(self) -> Mapping[str, object]:
        return {
            "name": self._status.name,
            "relay": "https://relay.example.com",
            "ca": None,
            "fingerprint": None,
            "tls": "terminate",
            "embedded": False,
        }


class KeptChanges:
    """One watcher's changes."""

    def __init__(self, tunnel: KeptTunnel) -> None:
        self.tunnel = tunnel
        self.queue: asyncio.Queue[Mapping[str, object] | None] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[Mapping[str, object]]:
        return self

    async def __anext__(self) -> Mapping[str, object]:
        if (change := await self.queue.get()) is None:
            raise StopAsyncIteration
        return change

    async def aclose(self) -> None:
        if self.queue in self.tunnel.subscribers:
            self.tunnel.subscribers.remove(self.queue)
            self.queue.put_nowait(None)
            self.tunnel.released.set()
