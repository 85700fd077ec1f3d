"""The JSON-RPC id of a request, seen as its body passes by.

A scanner, not a parser: it holds nothing back, keeps at most one short token, and looks no
further than the first 64 KiB. Malformed JSON gives no id, never an error.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from underpass.http.answers import NULL_ID
from underpass.http.messages import RequestHead, lookup

LOOK_AT_MOST: Final = 64 * 1024
# Clients write "id" among the first members; DESIGN.md gives up after this much.

_LONGEST_TOKEN: Final = 512
# Ids in the wild are counters and UUIDs.

_structural: Final = re.compile(rb'["{}\[\],:]').search
_in_string: Final = re.compile(rb'["\\]').search


def carries_jsonrpc(head: RequestHead) -> bool:
    """Whether the request is a POST of a JSON type."""
    if head.method != b"POST":
        return False
    kind = (lookup(head.headers, b"content-type") or b"").split(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


class IdScanner:
    """Finds the top-level ``"id"`` of one JSON object."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_key", "_looked", "_token", "done", "id")

    def __init__(self) -> None:
        self.id = NULL_ID
        """The id as JSON text (``7``, ``"a"``), ``null`` while unseen, and for batches."""
        self.done = False
        """Nothing more will be found."""
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._token = bytearray()
        self._key: bytes | None = None
        self._looked = 0

    def receive_data(self, data: bytes | memoryview) -> None:
        """Look at the next part of the body."""
        if self.done:
            return
        part = bytes(data[: LOOK_AT_MOST - self._looked])
        self._looked += len(part)
        at = 0
        while at < len(part) and not self.done:
            at = self._scan_string(part, at) if self._in_string else self._scan_plain(part, at)
        if self._looked >= LOOK_AT_MOST:
            self.done = True

    def _scan_string(self, part: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(part, at, at + 1)
            return at + 1
        found = _in_string(part, at)
        if found is None:
            self._keep(part, at, len(part))
            return len(part)
        self._keep(part, at, found.end())
        if found[0] == b"\\":
            self._escaped = True
        else:
            self._in_string = False
        return found.end()

    def _scan_plain(self, part: bytes, at: int) -> int:
        found = _structural(part, at)
        if found is None:
            self._keep(part, at, len(part))
            if not self._depth and self._token.strip():
                self.done = True
            return len(part)
        self._keep(part, at, found.start())
        mark = found[0]
        if mark == b'"':
            self._in_string = True
            self._keep(part, found.start(), found.end())
        elif mark in b"{[":
            if not self._depth and (mark == b"[" or self._token.strip()):
                self.done = True  # a batch, or no JSON
            self._depth += 1
            if self._depth == 1:
                self._token.clear()
            elif self._depth == 2:
                self._token += b"{"  # a container is no id: spoils the token on purpose
        elif mark in b"}]":
            self._depth -= 1
            if self._depth <= 0:
                self._end_value()
                self.done = True
        elif self._depth == 1:
            if mark == b":":
                self._key = bytes(self._token).strip()
                self._token.clear()
            else:
                self._end_value()
        elif not self._depth:
            self.done = True
        return found.end()

    def _keep(self, part: bytes, start: int, end: int) -> None:
        if self._depth <= 1 and len(self._token) <= _LONGEST_TOKEN:
            self._token += part[start : min(end, start + _LONGEST_TOKEN + 1)]

    def _end_value(self) -> None:
        key, self._key = self._key, None
        token = bytes(self._token).strip(b" \t\r\n")
        self._token.clear()
        if key is None or _decode(key) != "id" or len(token) > _LONGEST_TOKEN:
            return
        value = _decode(token)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            self.id = token
        else:
            self.id = NULL_ID


def _decode(text: bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
