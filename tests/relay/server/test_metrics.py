from __future__ import annotations

from underpass.relay.server.metrics import metrics_text
from underpass.relay.server.statistics import RelayStatistics


def test_every_number_of_the_relay_is_told() -> None:
    numbers = RelayStatistics(tunnels=2, links_refused=3, events={"request": 7})
    lines = metrics_text(lambda: numbers)().decode().splitlines()
    said = [line for line in lines if not line.startswith("#")]
    assert said == [
        "underpass_relay_tunnels 2.0",
        "underpass_relay_tunnels_linked 0.0",
        "underpass_relay_links 0.0",
        "underpass_relay_streams 0.0",
        "underpass_relay_keys 0.0",
        "underpass_relay_ports 0.0",
        "underpass_relay_receive_bytes 0.0",
        "underpass_relay_replay_bytes 0.0",
        "underpass_relay_draining 0.0",
        "underpass_relay_links_accepted_total 0.0",
        "underpass_relay_links_refused_total 3.0",
        'underpass_relay_events_total{event="request"} 7.0',
    ]


def test_numbers_are_read_when_they_are_asked_for() -> None:
    numbers = [RelayStatistics(links=1)]
    text = metrics_text(lambda: numbers[0])
    numbers[0] = RelayStatistics(links=2)
    assert b"underpass_relay_links 2.0" in text()
