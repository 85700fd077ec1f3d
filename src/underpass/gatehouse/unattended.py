"""A visitor whose answer goes nowhere: for requests of the owner's own."""

from __future__ import annotations

import asyncio
from typing import Final

from underpass.http.messages import Headers, ResponseHead

_ROOM: Final = 1 << 20


class UnattendedVisitor:
    """Implements ``ports.Visitor`` and lets everything go; ``over`` is set at the end."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    @property
    def room(self) -> int:
        """Always some."""
        return _ROOM

    def send_informational(self, head: ResponseHead) -> None:
        """Let go."""

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """Let go."""
        if end:
            self.over.set()

    def send_data(self, data: bytes) -> bool:
        """Let go."""
        return True

    def send_trailers(self, trailers: Headers) -> None:
        """Let go."""

    def send_end(self) -> None:
        """That was all."""
        self.over.set()

    def abort(self, code: str) -> None:
        """It broke off."""
        self.over.set()

    def stop(self, code: str) -> None:
        """Nothing more is sent anyway."""

    def drained(self, count: int) -> None:
        """All was handed over at once."""
