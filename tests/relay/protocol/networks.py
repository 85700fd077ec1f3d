"""A small network in memory: a pair of ends over a path with a rate and a delay, time stepped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from lane_pair import Pair

STEP = 0.005


class Path:
    """One direction: bytes leave at ``rate`` a second and arrive ``delay`` seconds later."""

    def __init__(self, rate: float, delay: float) -> None:
        self.rate = rate
        self.delay = delay
        self._waiting = bytearray()
        self._flying: deque[tuple[float, bytes]] = deque()
        self._allowance = 0.0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def put(self, data: bytes) -> None:
        self._waiting += data

    def step(self, now: float) -> bytes:
        """What arrives in this step."""
        self._allowance = min(self._allowance + self.rate * STEP, self.rate * STEP * 2)
        count = min(int(self._allowance), len(self._waiting))
        if count:
            self._allowance -= count
            self._flying.append((now + self.delay, bytes(self._waiting[:count])))
            del self._waiting[:count]
        arrived = b""
        while self._flying and self._flying[0][0] <= now:
            arrived += self._flying.popleft()[1]
        return arrived


class SlowLink:
    """A pair over two paths; ``work`` is called every step before anything is written."""

    def __init__(self, pair: Pair, *, rate: float, delay: float) -> None:
        self.pair = pair
        self.down = Path(rate, delay)
        self.up = Path(rate, delay)
        for end in (pair.relay, pair.connector):
            end.lane.round_trip(2 * delay, pair.now)  # as a link does by PING when it is new

    def run(self, seconds: float, work: Callable[[], None] = lambda: None) -> None:
        pair = self.pair
        until = pair.now + seconds
        while pair.now < until:
            pair.now += STEP
            work()
            pair.relay.lane.tick(pair.now)
            pair.connector.lane.tick(pair.now)
            self.down.put(pair.relay.write(pair.now))
            self.up.put(pair.connector.write(pair.now))
            for path, end in ((self.down, pair.connector), (self.up, pair.relay)):
                if data := path.step(pair.now):
                    end.receive(data, pair.now)
