"""Durations as people write them.

    90s   45m   2h   1h30m   7d   1d12h

Units fall from days to seconds, each at most once; whole numbers; no unit may be left out. What
``format_duration`` writes, ``parse_duration`` reads back.
"""

from __future__ import annotations

import re
from typing import Final

from underpass.model.errors_spec import DurationInvalid

LONGEST: Final = 366 * 86_400
"""A year and a leap day: an end further away is no end. A longer need is a renewal."""

_GRAMMAR = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_LONGEST_TEXT: Final = 40


def parse_duration(text: str) -> int:
    """Seconds meant by ``text``: at least 1, at most ``LONGEST``. Raises ``DurationInvalid``."""
    match = _GRAMMAR.fullmatch(text) if 0 < len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise DurationInvalid(text=text[:_LONGEST_TEXT], why="not of the form 1d12h30m10s")
    parts = zip(_UNITS, match.groups(), strict=True)
    seconds = sum(size * int(count) for (size, _), count in parts if count is not None)
    if not 1 <= seconds <= LONGEST:
        raise DurationInvalid(text=text, why="it must lie between 1s and 366d")
    return seconds


def format_duration(seconds: int) -> str:
    """The shortest text for ``seconds`` (not negative): ``5400`` is ``1h30m``, 0 is ``0s``."""
    words = []
    rest = seconds
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"
