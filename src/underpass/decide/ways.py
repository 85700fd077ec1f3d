"""All ways, in the order that decides between equals."""

from __future__ import annotations

from typing import Final

from underpass.decide.way import Way
from underpass.decide.ways_private import PRIVATE_WAYS
from underpass.decide.ways_public import PUBLIC_WAYS

WAYS: Final[tuple[Way, ...]] = (*PUBLIC_WAYS, *PRIVATE_WAYS)


def way(identifier: str) -> Way:
    """The way called ``identifier``; raises ``KeyError``."""
    for one in WAYS:
        if one.id == identifier:
            return one
    raise KeyError(identifier)
