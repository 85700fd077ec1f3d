from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from underpass.relay.server.log import BURST, PER_SECOND, RelayLog, relay_log


class Lines:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **facts: self.said.append((level, event, facts))


def test_an_event_is_said_with_its_facts() -> None:
    lines = Lines()
    RelayLog(lines, lambda: 0.0).warning("link refused", code="superseded")
    assert lines.said == [("warning", "link refused", {"code": "superseded"})]


def test_a_million_bad_requests_are_a_few_lines() -> None:
    lines = Lines()
    log = RelayLog(lines, lambda: 0.0)
    for _ in range(1_000_000):
        log.info("link refused")
    assert len(lines.said) == BURST


def test_what_was_dropped_is_counted_with_the_next_line() -> None:
    lines, now = Lines(), [0.0]
    log = RelayLog(lines, lambda: now[0], burst=2, rate=1.0)
    for _ in range(5):
        log.info("link refused")
    now[0] = 1.0
    log.info("link refused", code="x")
    assert lines.said[2:] == [("info", "link refused", {"code": "x", "dropped_before": 3})]


def test_one_kind_of_event_does_not_silence_another() -> None:
    lines = Lines()
    log = RelayLog(lines, lambda: 0.0, burst=1)
    log.info("link refused")
    log.info("link refused")
    log.error("refresh failed")
    assert [event for _, event, _ in lines.said] == ["link refused", "refresh failed"]


def test_an_hour_of_flood_stays_below_the_rate() -> None:
    lines, now = Lines(), [0.0]
    log = RelayLog(lines, lambda: now[0])
    for step in range(36_000):
        now[0] = step / 10
        log.info("link refused")
    assert len(lines.said) <= BURST + 3600 * PER_SECOND


def test_lines_are_json_over_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "underpass.relay")
    relay_log(lambda: 0.0).info("relay serves", url="http://127.0.0.1:1")
    said = json.loads(caplog.messages[0])
    assert (said["event"], said["url"], said["level"]) == (
        "relay serves",
        "http://127.0.0.1:1",
        "info",
    )


def test_an_embedded_relay_is_silent_about_what_is_right(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "underpass.relay")
    relay_log(lambda: 0.0).info("relay serves")
    assert caplog.messages == []
