"""What the API can do with one open tunnel: the port that its keeper implements.

This package knows no engine, link or gatehouse; it serves whatever satisfies ``Control``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from underpass.api.records import ReplayWish
from underpass.model.status import TunnelStatus
from underpass.model.verdict import Verdict
from underpass.prove.streaming.results import Parameters


class Changes(Protocol):
    """An asynchronous iterator of changes that can be left early."""

    def __aiter__(self) -> AsyncIterator[Mapping[str, object]]: ...

    async def __anext__(self) -> Mapping[str, object]: ...

    async def aclose(self) -> None:
        """Unsubscribe; whoever waits in ``anext`` gets the end. Idempotent."""


class SignInDesk(Protocol):
    """Where sign-ins at a tunnel's oauth gate wait for its owner."""

    def waiting(self) -> Sequence[Mapping[str, object]]:
        """Those that wait now, described; nothing in them is secret."""

    def decide(self, code: str, *, approve: bool) -> Mapping[str, object] | None:
        """Let the one with ``code`` in, or turn it away; None when there is none."""


class Watched(Protocol):
    """The record and the meter of one tunnel's exchanges."""

    def meter(self) -> Mapping[str, object] | None:
        """What it has carried; None: nothing is counted."""

    def follow(self) -> Changes:
        """Exchanges from now on, as they end; raises ``CaptureIsOff``."""

    async def flush(self) -> None:
        """Wait until what ended before can be read from the file."""

    async def replay(self, wish: ReplayWish) -> Mapping[str, object]:
        """Send a request to the origin once more; the exchange that it became."""


class Examiner(Protocol):
    """Closer looks at one tunnel than a proof takes, on demand."""

    async def trust(self, paths: Sequence[str]) -> Mapping[str, object]:
        """What the origin opens to visitors because they look local; () asks for usual paths."""

    def stream(self, asked: Parameters) -> Changes:
        """Measure how the tunnel carries streams: ``progress`` by and by, at last ``certified`` or
        ``failed``. Leaving it ends the measurement."""


class Control(Protocol):
    """One open tunnel, as its owner may see and steer it. Called on the loop that keeps it."""

    def status(self) -> TunnelStatus:
        """The present snapshot. Its ``url`` is None until a proof has passed."""

    async def prove(self) -> Verdict:
        """Run a proof now, through the public name, and return its verdict, passed or not."""

    async def renew(self, seconds: int) -> TunnelStatus:
        """Move the lease's end to ``seconds`` from now; raises ``Refused`` beyond policy."""

    async def close(self) -> None:
        """Close the exposure; returns when the public name no longer leads here. Idempotent.

        Must not wait for the API server, whose own end waits for the answer to this call.
        """

    def subscribe(self) -> Changes:
        """Changes from now on, each as ``TunnelChange.to_dict`` makes it.

        Subscribed from this call on, not from the first ``anext``. Ends after ``closed``.
        Whoever stops early calls ``aclose``, even before the first ``anext``. A reader that is
        too slow loses the oldest changes.
        """

    def reach_info(self) -> Mapping[str, object]:
        """How it is carried, for ``reach`` and ``show``.

        ``name``; ``relay`` (the URL for ``--relay``); ``ca`` and ``fingerprint`` (null where the
        public authorities vouch for it); ``tls`` (``terminate``, ``passthrough``); ``embedded``
        (whether the relay runs in this process).
        """
