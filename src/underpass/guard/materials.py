"""What gates that need more than their text are made of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from underpass.guard.checks import Gate
from underpass.guard.replays import ReplayMemory
from underpass.model.gates import GateSpec


@dataclass(frozen=True, slots=True)
class Materials:
    """What a gate may be made of."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    """Variables that a reference ``env:NAME`` may name."""
    wall_clock: Callable[[], float] = time.time
    """Unix time."""
    monotonic: Callable[[], float] = time.monotonic
    replays: ReplayMemory | None = None
    """Where proofs that are good once are remembered across restarts; None: nowhere."""


GateMaker = Callable[[GateSpec, Materials], Gate]
"""Makes one gate; raises an ``UnderpassError`` for what stands in the way."""
