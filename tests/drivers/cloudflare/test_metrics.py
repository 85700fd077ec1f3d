"""Numbers from a page of Prometheus' format."""

from __future__ import annotations

import pytest

from underpass.drivers.base import Counters
from underpass.drivers.cloudflare.metrics import ask_counters, read_counters
from underpass.drivers.errors import EngineAway

PAGE = """\
# HELP cloudflared_tunnel_total_requests Amount of requests proxied through all the tunnels
# TYPE cloudflared_tunnel_total_requests counter
cloudflared_tunnel_total_requests 12
cloudflared_tcp_total_sessions 3
quic_client_receive_bytes{conn_index="0"} 1.5e+06
quic_client_receive_bytes{conn_index="1"} 500000
quic_client_sent_bytes{conn_index="0"} 7
"""


def test_what_has_labels_is_added_up() -> None:
    assert read_counters(PAGE) == Counters(3, 12, 2_000_000, 7)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "x" * 10_000,
        "cloudflared_tunnel_total_requests 1e999",
        "quic_client_sent_bytes e+",
        "\0",
    ],
)
def test_pages_of_nonsense_count_nothing(page: str) -> None:
    assert read_counters(page) == Counters()


async def test_a_port_where_nobody_answers_is_told_as_such() -> None:
    with pytest.raises(EngineAway, match="metrics port"):
        await ask_counters(9)
