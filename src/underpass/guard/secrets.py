"""Secrets: values that do not show themselves, tokens, and where they rest.

Tokens are 256 bits from the system's generator behind the prefix ``up_``, by which redaction, and
scanners of other people's repositories, find them. What has 256 bits needs no slow hash: one
SHA-256 keeps it unreadable at rest and makes every comparison one between digests.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

from underpass.guard.errors import SecretUnreadable
from underpass.guard.private_files import private_directory, read_private, write_private

__all__ = [
    "TOKEN_PATTERN",
    "Secret",
    "hash_token",
    "is_token",
    "new_token",
    "private_directory",
    "read_private",
    "read_secret",
    "write_private",
    "write_secret",
]

TOKEN_PREFIX: Final = "up_"
TOKEN_PATTERN: Final = r"up_[A-Za-z0-9_-]{43}"
"""32 bytes in URL-safe base64 are 43 characters."""

_TOKEN = re.compile(TOKEN_PATTERN)


class Secret:
    """A text that is shown only by the call ``reveal``; it cannot be printed or pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself: for a file of ours, or where the user asked for it by name."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __str__(self) -> str:
        return "[hidden]"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def new_token() -> Secret:
    """A fresh token of 256 bits."""
    return Secret(TOKEN_PREFIX + secrets.token_urlsafe(32))


def is_token(text: str) -> bool:
    """Whether ``text`` has the form of a token of ours."""
    return _TOKEN.fullmatch(text) is not None


def hash_token(token: str | bytes) -> bytes:
    """What is stored of a token and compared with."""
    return sha256(token.encode() if isinstance(token, str) else token).digest()


def read_secret(path: Path) -> Secret:
    """The one line of a private file. Raises what ``read_private`` raises."""
    try:
        text = read_private(path).decode().strip()
    except UnicodeDecodeError:
        raise SecretUnreadable(path=str(path), why="it is not text") from None
    if not text:
        raise SecretUnreadable(path=str(path), why="it is empty")
    if not text.isprintable():
        raise SecretUnreadable(path=str(path), why="it holds more than one line of text")
    return Secret(text)


def write_secret(path: Path, secret: Secret, *, replace: bool = True) -> None:
    """Store ``secret`` as one line; raises what ``write_private`` raises."""
    write_private(path, secret.reveal().encode() + b"\n", replace=replace)
