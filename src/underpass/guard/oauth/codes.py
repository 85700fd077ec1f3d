"""The codes of sign-ins as people write them. Importing this needs no extra."""

from __future__ import annotations

from typing import Final

_BETWEEN: Final = str.maketrans("", "", "-_ ")


def plain_code(code: str) -> str:
    """A code as it is compared: capitals, without what people put between."""
    return code.upper().translate(_BETWEEN)
