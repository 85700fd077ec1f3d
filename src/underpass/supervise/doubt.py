"""Doubting a link that the engine thinks well, when proofs have long said otherwise. Pure."""

from __future__ import annotations

from typing import Final

from underpass.model.verdict import Layer, Verdict

REDIAL_SECONDS: Final = 30.0
"""How long proofs must fail on the way to us, while the engine's link looks well, before it is made
to dial anew: two intervals. Seen: ssh, ngrok and cloudflared do not notice a frozen far end for
minutes. The wait doubles with each time that it did not help, up to ``REDIAL_CAP``."""

REDIAL_CAP: Final = 480.0


class LinkDoubt:
    """Says when a link shall be made anew. The name and TLS of the public side are not its fault,
    nor is what lies behind the link."""

    def __init__(self) -> None:
        self._dead_since: float | None = None
        self._redial_after = REDIAL_SECONDS

    def judged(self, verdict: Verdict, now: float, *, is_attached: bool) -> bool:
        """Whether to dial anew after ``verdict``. ``is_attached``: the engine thinks its link well;
        one that does not is at work on it already."""
        if verdict.ok:
            self._redial_after = REDIAL_SECONDS
        elif verdict.layer is None:
            return False  # nothing is known at this moment, which makes nothing better
        if verdict.layer not in (Layer.RELAY, Layer.LINK) or not is_attached:
            self._dead_since = None
            return False
        if self._dead_since is None:
            self._dead_since = now
            return False
        if now - self._dead_since < self._redial_after:
            return False
        self._dead_since = now
        self._redial_after = min(2 * self._redial_after, REDIAL_CAP)
        return True
