"""Who gets a stream's events."""

from __future__ import annotations

from typing import Protocol


class StreamOwner(Protocol):
    """Owner of one stream, called on the event loop; must never block or raise.

    After ``aborted`` no more data comes; after ``stopped`` nothing that is sent arrives. When a
    lane is lost both are called.
    """

    def head_received(self, head: bytes) -> None:
        """A whole head, encoded: request, informational or final response."""

    def data_received(self, data: bytes | memoryview) -> None:
        """Body bytes, to be credited by ``stream.drained`` when they have left the process."""

    def trailers_received(self, trailers: bytes) -> None:
        """The whole trailer block, encoded."""

    def end_received(self) -> None:
        """The peer's direction is complete."""

    def aborted(self, code: str) -> None:
        """The peer's direction broke: nothing more comes."""

    def stopped(self, code: str) -> None:
        """The peer reads no more of what we send."""

    def resume_writing(self) -> None:
        """There is room again after a ``send_data`` that returned False."""
