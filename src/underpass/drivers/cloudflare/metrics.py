"""cloudflared's own numbers, from its metrics port. It counts bytes over QUIC only."""

from __future__ import annotations

import re
from typing import Final

import httpx2

from underpass.drivers.base import Counters
from underpass.drivers.errors import EngineAway

SECONDS: Final = 3.0
MAX_PAGE: Final = 1 << 20

_SAMPLE: Final = re.compile(
    r"(?P<name>[a-z_]{1,80})(?:\{[^}\n]{0,400}\})? (?P<value>[0-9.e+]{1,30})"
)


async def ask_counters(port: int) -> Counters:
    """The numbers of the cloudflared whose metrics are at ``port``. Raises ``EngineAway``."""
    try:
        async with httpx2.AsyncClient(timeout=SECONDS, trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
            answer.raise_for_status()
    except httpx2.HTTPError as error:
        why = f"its metrics port does not answer: {type(error).__name__}"
        raise EngineAway("cloudflare", "metrics-away", why) from error
    return read_counters(answer.text[:MAX_PAGE])


def read_counters(page: str) -> Counters:
    """The numbers in a page of Prometheus' format; what has labels is added up. Pure."""
    sums: dict[str, float] = {}
    for line in page.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match:
            try:
                value = float(match["value"])
            except ValueError:
                continue
            sums[match["name"]] = sums.get(match["name"], 0.0) + value

    def count(name: str) -> int:
        value = sums.get(name, 0.0)
        return int(value) if value < 2**63 else 0

    return Counters(
        connections=count("cloudflared_tcp_total_sessions"),
        requests=count("cloudflared_tunnel_total_requests"),
        bytes_in=count("quic_client_receive_bytes"),
        bytes_out=count("quic_client_sent_bytes"),
    )
