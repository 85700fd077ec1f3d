"""What one key uses at the moment, over all its tunnels, and the memory all lanes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from underpass.relay.protocol.budget import ReceiveBudget, ReplayAccount, ReplayBudget
from underpass.relay.server.registry import KeyLimits


@dataclass(slots=True)
class KeyUsage:
    """The books of one key."""

    limits: KeyLimits
    account: ReplayAccount
    streams: int = 0

    def take_stream(self) -> bool:
        """Count one stream; False: the key has as many as it may."""
        if self.streams >= self.limits.streams:
            return False
        self.streams += 1
        return True

    def give_stream(self) -> None:
        """Return one that was taken."""
        self.streams -= 1


@dataclass(slots=True)
class Memory:
    """The budgets of the relay's process, and the books of each key that has tunnels."""

    receive: ReceiveBudget = field(default_factory=ReceiveBudget)
    replay: ReplayBudget = field(default_factory=ReplayBudget)
    _keys: dict[bytes, KeyUsage] = field(default_factory=dict)

    def usage(self, key: bytes, limits: KeyLimits) -> KeyUsage:
        """The books of ``key``, from now on with ``limits``."""
        usage = self._keys.get(key)
        if usage is None:
            usage = self._keys[key] = KeyUsage(limits, self.replay.account())
        usage.limits = limits
        return usage

    def forget(self, key: bytes) -> None:
        """The key has no tunnel any more. What is still in use is counted to its end."""
        usage = self._keys.get(key)
        if usage is not None and not usage.streams and not usage.account.used:
            del self._keys[key]

    def __len__(self) -> int:
        return len(self._keys)
