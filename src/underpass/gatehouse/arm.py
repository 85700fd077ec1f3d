"""Arming: for at most two seconds, a byte stream may turn out to be a proof.

A byte stream has no header to carry a question, and holding back every stream for its first bytes
would break protocols in which the server speaks first. So the prover, who lives beside the
gatehouse, arms it directly; only then does a new stream's first byte wait, at most 200 ms.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from underpass.gatehouse.proof import TCP_PREFIX_BYTES

ARM_SECONDS: Final = 2.0
FIRST_BYTE_SECONDS: Final = 0.2
MAX_ARMED: Final = 16
# One prover has one proof of a kind under way; a few more for a hand-typed `prove` beside it.


class ProbeArm:
    """The armed prefixes of one gatehouse, each good for one stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._armed: dict[bytes, tuple[float, str]] = {}

    def arm(self, seconds: float, foreign: str) -> bytes:
        """A fresh prefix, awaited for ``seconds`` (at most two).

        ``foreign`` is the address whose refusal is to be proved, "" for none. Beyond sixteen at
        once, the oldest is forgotten.
        """
        self._forget_expired()
        while len(self._armed) >= MAX_ARMED:
            del self._armed[next(iter(self._armed))]
        prefix = secrets.token_bytes(TCP_PREFIX_BYTES)
        self._armed[prefix] = (self._loop.time() + min(seconds, ARM_SECONDS), foreign)
        return prefix

    def disarm(self, prefix: bytes) -> None:
        """Await ``prefix`` no longer. Idempotent."""
        self._armed.pop(prefix, None)

    @property
    def is_armed(self) -> bool:
        """Whether a new stream's first bytes must be waited for."""
        if self._armed:
            self._forget_expired()
        return bool(self._armed)

    def could_become(self, first: bytes) -> bool:
        """Whether more bytes could make ``first`` an armed prefix."""
        return len(first) < TCP_PREFIX_BYTES and any(
            prefix.startswith(first) for prefix in self._armed
        )

    def take(self, first: bytes) -> str | None:
        """The foreign address armed with the prefix that ``first`` begins with; None: no proof."""
        prefix = first[:TCP_PREFIX_BYTES]
        armed = self._armed.pop(prefix, None)
        return None if armed is None else armed[1]

    def _forget_expired(self) -> None:
        now = self._loop.time()
        for prefix in [prefix for prefix, (end, _) in self._armed.items() if end <= now]:
            del self._armed[prefix]
