"""The exchange of a visitor who was turned away: whatever still comes is let go."""

from __future__ import annotations

from underpass.gatehouse.ports import Visitor
from underpass.http.messages import Headers


def refuse(visitor: Visitor, code: str) -> Refused:
    """Turn ``visitor`` away without a word to the origin."""
    visitor.abort(code)
    visitor.stop(code)
    return Refused()


class Refused:
    """Implements ``ports.Exchange`` and does nothing: the visitor was aborted and stopped."""

    def data_received(self, data: bytes | memoryview) -> None:
        """Let go."""

    def trailers_received(self, trailers: Headers) -> None:
        """Let go."""

    def end_received(self) -> None:
        """Nothing waits for it."""

    def visitor_left(self, code: str) -> None:
        """It already has."""

    def answer_unwanted(self, code: str) -> None:
        """There is none."""

    def resume_writing(self) -> None:
        """Nothing is written."""
