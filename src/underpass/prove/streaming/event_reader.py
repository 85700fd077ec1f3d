"""Telling the measuring origin's events from comments that somebody put in between: pure."""

from __future__ import annotations

import hashlib


class EventReader:
    """Takes the bytes of one event stream apart."""

    def __init__(self) -> None:
        self.comments = 0
        """Blocks that hold nothing but a comment."""
        self.digest = hashlib.sha256()
        """Of the events, without what was put in between."""
        self.size = 0
        """Bytes of the events."""
        self._rest = b""

    def receive_data(self, data: bytes) -> list[bytes]:
        """The events that are complete with ``data``."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        events = []
        for block in blocks:
            if block.startswith(b":"):
                self.comments += 1
                continue
            whole = block + b"\n\n"
            self.digest.update(whole)
            self.size += len(whole)
            events.append(block)
        return events


def stamp(block: bytes) -> tuple[int, int]:
    """An event's number and when the origin handed it over; (-1, 0) for one that is not its."""
    first, _, second = block.partition(b"\n")
    number, ns = first.removeprefix(b"id: "), second.removeprefix(b"data: ").partition(b" ")[0]
    return (int(number), int(ns)) if number.isdigit() and ns.isdigit() else (-1, 0)
