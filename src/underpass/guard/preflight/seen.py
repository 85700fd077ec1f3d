"""What an origin answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import msgspec

from underpass.http.messages import Headers, lookup

MOST_BYTES: Final = 64 * 1024
"""Read of each body: more than any page here needs to tell what it is."""


@dataclass(frozen=True)
class Seen:
    """One answer. Without slots: what it holds is decoded once."""

    name: str
    """Of the question."""
    where: str
    """The question, as findings name it."""
    status: int
    """0 for an answer that is no HTTP."""
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    """Its beginning; of what is no HTTP, all that came."""
    how: str = ""
    """In what guise the question was put, as findings say it."""

    def header(self, name: str) -> bytes:
        """The first value of a field (in lower case); b"" without one."""
        return lookup(self.headers, name.encode("ascii")) or b""

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None for one that is none, or was cut."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
