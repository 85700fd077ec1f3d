"""The fields of one head, sorted by what they mean, and the options Connection gives.

Shared by requests and responses; judges nothing but names.
"""

from __future__ import annotations

from typing import Final

from underpass.http.grammar import tokens
from underpass.http.memory import BoundedMemory
from underpass.http.messages import Headers
from underpass.http.names import Kind, kind_if_known, kind_of

NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
LIFETIME: Final = frozenset((b"keep-alive", b"close"))
"""Connection options that name no field to take away."""


def _options(value: bytes) -> frozenset[bytes] | None:
    words = tokens(value)
    return None if words is None else frozenset(words)


options_of: Final = BoundedMemory(_options)
"""The options of a Connection field in lower case, or None when it is no list of tokens."""


class FieldSink:
    """Takes the fields of one head from httptools, sorted by what they mean."""

    __slots__ = ("plain", "special")

    def __init__(self) -> None:
        self.plain: Headers = []
        self.special: list[tuple[Kind, bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each field line."""
        kind = kind_if_known(name)
        if kind is None:
            kind = kind_of(name)
        if kind:
            self.special.append((kind, name, value))
        else:
            self.plain.append((name, value))

    def trim(self) -> None:
        """Drop the white space after values that llhttp leaves there."""
        self.plain = [(name, value.rstrip(b" \t")) for name, value in self.plain]
        self.special = [(kind, name, value.rstrip(b" \t")) for kind, name, value in self.special]

    def without(self, names: frozenset[bytes]) -> Headers:
        """The plain fields less those whose lower-case name is in ``names``."""
        return [(name, value) for name, value in self.plain if name.lower() not in names]
