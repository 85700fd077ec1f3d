"""The grammar of filters."""

from __future__ import annotations

import pytest

from underpass.observe.errors import FilterInvalid
from underpass.observe.filters import earliest, parse_filters
from underpass.observe.record import Outline

pytestmark = pytest.mark.pure

EXCHANGE = Outline(
    1,
    "tools",
    "http",
    1000.0,
    method="POST",
    target="/api/v1/items?x=1",
    status=404,
    outcome="denied",
    code="gate-unauthenticated",
    gate="ip|bearer",
    visitor="203.0.113.7",
    identity="basic:bob",
    total=0.6,
    up=400,
    down=700,
)


@pytest.mark.parametrize(
    "text",
    [
        *("method=POST", "method=get,post", "method!=GET", "path=/api/*", "path=*/items"),
        *("status=404", "status=4xx", "status=200-499", "status=5xx,404", "status!=2xx"),
        *("outcome=denied", "outcome=broken,denied", "gate=bearer", "gate=ip", "gate!=basic"),
        *("code=gate-unauthenticated", "kind=http", "visitor=203.0.113.7", "visitor=basic:bob"),
        *("since=2m", "slower=500ms", "larger=1kB", "larger=1100", "path!=/[api]/*"),
    ],
)
def test_a_filter_that_holds(text: str) -> None:
    assert parse_filters([text], now=1100.0)(EXCHANGE)


@pytest.mark.parametrize(
    "text",
    [
        *("method=GET", "path=/api", "path=/other*", "status=2xx", "status!=404", "outcome=open"),
        *("gate=basic", "code=x", "kind=tcp", "visitor=203.0.113.70", "since=99s"),
        *("slower=601ms", "larger=1101"),
    ],
)
def test_a_filter_that_does_not_hold(text: str) -> None:
    assert not parse_filters([text], now=1100.0)(EXCHANGE)


def test_all_filters_must_hold() -> None:
    assert parse_filters([], now=0.0)(EXCHANGE)
    assert parse_filters(["status=4xx", "method=POST"], now=0.0)(EXCHANGE)
    assert not parse_filters(["status=4xx", "method=GET"], now=0.0)(EXCHANGE)
    assert earliest(["since=1m", "since=10s", "status=2xx"], now=100.0) == 90.0
    assert earliest([], now=100.0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "status",
        "status=",
        "status=abc",
        "status=6xx",
        "outcome=gone",
        "since=5",
        "nonsense=1",
        "kind=smoke",
        "slower=fast",
        "larger=big",
        "=x",
    ],
)
def test_filter_invalid(text: str) -> None:
    with pytest.raises(FilterInvalid) as caught:
        parse_filters([text], now=0.0)
    assert caught.value.code == "filter-invalid"
