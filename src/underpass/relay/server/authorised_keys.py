"""The authorised-keys file: connectors that need no enrolment, one a line.

    # comment
    ed25519:BASE64URL [names=N] [ports=N] [streams=N] [label]

The file is believed whole or not at all: after a mistake the relay keeps what it read before.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from underpass.relay.server.errors import AuthorisedKeysWrong
from underpass.relay.server.key_text import parse_key
from underpass.relay.server.registry import KeyLimits, KeyRecord

LARGEST_FILE: Final = 4 * 1024 * 1024
"""Some 50,000 keys; more belongs into the registry."""

_LIMITS: Final = ("names", "ports", "streams")


def read_authorised_keys(path: Path, limits: KeyLimits) -> dict[bytes, KeyRecord]:
    """The keys of the file, each with ``limits`` where its line says nothing else.

    Blocks; raises ``AuthorisedKeysWrong`` for the first line that is wrong, ``OSError``.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise AuthorisedKeysWrong(str(path), 1, "the file is larger than 4 MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise AuthorisedKeysWrong(str(path), 1, "the file is not UTF-8") from None
    return parse_authorised_keys(text, limits, str(path))


def parse_authorised_keys(text: str, limits: KeyLimits, path: str) -> dict[bytes, KeyRecord]:
    """The same for text that was read from ``path``."""
    found: dict[bytes, KeyRecord] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            record = _parse_line(words, limits)
        except ValueError as exc:
            raise AuthorisedKeysWrong(path, number, str(exc)) from None
        if record.public in found:
            raise AuthorisedKeysWrong(path, number, "the key stands here twice")
        found[record.public] = record
    return found


def _parse_line(words: list[str], limits: KeyLimits) -> KeyRecord:
    public = parse_key(words[0])
    rest = words[1:]
    while rest and "=" in rest[0]:
        name, _, value = rest.pop(0).partition("=")
        if name not in _LIMITS:
            raise ValueError(f"{name} is no limit; limits are names, ports and streams")
        if not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise ValueError(f"{name} needs a number")
        limits = replace(limits, **{name: int(value)})
    return KeyRecord(public, label=" ".join(rest), limits=limits)
