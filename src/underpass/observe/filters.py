"""The filters of ``underpass requests``: one small expression each, all of which must hold. Pure.

    method=GET,POST       any of these methods
    path=/api/*           the path, with * for anything and ? for one character
    status=404            or 4xx, or 200-299; several with commas
    outcome=broken        complete, broken, denied, answered, open; several with commas
    gate=bearer           denied by this gate
    code=origin-away      code of our own answer, or of the break
    kind=websocket        http, events, websocket, upgrade, tcp, reach
    visitor=203.0.113.7   address or identity
    since=15m             begun within so long
    slower=500ms          took at least so long
    larger=1MB            carried at least so much, both ways

``!=`` in place of ``=`` turns a filter round.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Final

from underpass.observe.errors import FilterInvalid
from underpass.observe.record import Outline

Test = Callable[[Outline], bool]

OUTCOMES: Final = ("complete", "broken", "denied", "answered", "open")
KINDS: Final = ("http", "events", "websocket", "upgrade", "tcp", "reach")

_EXPRESSION = re.compile(r"(?P<name>[a-z]+)(?P<turned>!?)=(?P<value>.+)", re.DOTALL)
_STATUS = re.compile(r"(?P<class>[1-5])xx|(?P<low>[1-9][0-9]{2})(?:-(?P<high>[1-9][0-9]{2}))?")
_DURATION = re.compile(r"(?P<amount>[0-9]{1,9}(?:\.[0-9]{1,3})?)(?P<unit>ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(?P<amount>[0-9]{1,12})(?P<unit>B|kB|KB|MB|GB)?")
_BYTES: Final = {None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_filters(texts: Iterable[str], *, now: float) -> Test:
    """The conjunction of the filters. Raises ``FilterInvalid``."""
    tests = [_parse(text, now) for text in texts]
    return lambda outline: all(test(outline) for test in tests)


def earliest(texts: Iterable[str], *, now: float) -> float | None:
    """Before which no exchange can match: what a search can be bounded by."""
    since = [_since(text, now) for text in texts if text.startswith("since=")]
    return max(since, default=None)


def _parse(text: str, now: float) -> Test:
    match = _EXPRESSION.fullmatch(text.strip())
    maker = _MAKERS.get(match["name"]) if match is not None else None
    if match is None or maker is None:
        raise FilterInvalid(text[:80], f"there are {', '.join(_MAKERS)}")
    test = maker(match["value"], text[:80], now)
    if match["turned"]:
        return lambda outline: not test(outline)
    return test


def _method(value: str, text: str, now: float) -> Test:
    names = frozenset(value.upper().split(","))
    return lambda outline: outline.method in names


def _path(value: str, text: str, now: float) -> Test:
    matches = re.compile(translate(value.replace("[", "[[]"))).match
    return lambda outline: matches(outline.target.partition("?")[0]) is not None


def _status(value: str, text: str, now: float) -> Test:
    ranges: list[tuple[int, int]] = []
    for part in value.split(","):
        match = _STATUS.fullmatch(part)
        if match is None:
            raise FilterInvalid(text, "a status is 404, 4xx or 200-299")
        low = int(match["class"]) * 100 if match["class"] else int(match["low"])
        high = low + 99 if match["class"] else int(match["high"] or low)
        ranges.append((low, high))
    return lambda outline: any(low <= outline.status <= high for low, high in ranges)


def _one_of(known: tuple[str, ...], field: str) -> Callable[[str, str, float], Test]:
    def make(value: str, text: str, now: float) -> Test:
        names = frozenset(value.split(","))
        if known and not names <= frozenset(known):
            raise FilterInvalid(text, f"it is one of {', '.join(known)}")
        return lambda outline: getattr(outline, field) in names

    return make


def _gate(value: str, text: str, now: float) -> Test:
    return lambda outline: value in outline.gate.split("|")


def _visitor(value: str, text: str, now: float) -> Test:
    return lambda outline: value in (outline.visitor, outline.identity)


def _since(text: str, now: float) -> float:
    return now - _duration(text.partition("=")[2], text[:80])


def _after(value: str, text: str, now: float) -> Test:
    begin = now - _duration(value, text)
    return lambda outline: outline.at >= begin


def _slower(value: str, text: str, now: float) -> Test:
    least = _duration(value, text)
    return lambda outline: outline.total is not None and outline.total >= least


def _larger(value: str, text: str, now: float) -> Test:
    match = _SIZE.fullmatch(value)
    if match is None:
        raise FilterInvalid(text, "a size is 100kB, 1MB or 1GB")
    least = int(match["amount"]) * _BYTES[match["unit"]]
    return lambda outline: outline.up + outline.down >= least


def _duration(value: str, text: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise FilterInvalid(text, "a duration is 500ms, 15m, 2h or 1d")
    return float(match["amount"]) * _SECONDS[match["unit"]]


_MAKERS: Final[dict[str, Callable[[str, str, float], Test]]] = {
    "method": _method,
    "path": _path,
    "status": _status,
    "outcome": _one_of(OUTCOMES, "outcome"),
    "gate": _gate,
    "code": _one_of((), "code"),
    "kind": _one_of(KINDS, "kind"),
    "visitor": _visitor,
    "since": _after,
    "slower": _slower,
    "larger": _larger,
}
