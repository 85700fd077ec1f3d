"""Sign-ins that wait for somebody: shown in one browser, decided elsewhere, taken once.

A sign-in belongs to the browser that began it (a cookie of 256 bits, kept as a digest). Its code is
short because a person reads it there and types it here; it opens nothing by itself, since only the
owner's own socket takes codes. The owner is told half of it: a sign-in that a stranger began cannot
be approved by somebody who has not seen, or been told, what the stranger's browser shows.

Strangers can begin sign-ins, so their number and rate are bounded.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from typing import Final

from underpass.guard.oauth.codes import plain_code
from underpass.guard.oauth.records import Visitor
from underpass.guard.oauth.redirects import target_of
from underpass.guard.oauth.server import Asked
from underpass.guard.oauth.strangers import network_of
from underpass.guard.secrets import hash_token

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628, 6.1: no vowels, so no words; nothing that is taken for a digit."""

SECONDS: Final = 300.0
MAX_WAITING: Final = 16
MAX_OF_ADDRESS: Final = 4
MAX_WRONG: Final = 5
"""Wrong second halves that one sign-in survives."""
BURST: Final = 12
"""Sign-ins that may begin at once; one more each ``REFILL_SECONDS``."""
REFILL_SECONDS: Final = 15.0


class Decision(StrEnum):
    """What became of a sign-in so far."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(slots=True)
class SignIn:
    """One person's wish to let one client in."""

    id: str
    """Names it in addresses; opens nothing without the browser's cookie."""
    code: str = field(repr=False)
    """``XXXX-XXXX``: what the page shows, and the page alone, and the owner types."""
    asked: Asked
    browser: bytes = field(repr=False)
    address: str
    """Where the browser is, "" when nobody vouches for it."""
    since: float
    expires_at: float
    decision: Decision = Decision.WAITING
    visitor: Visitor | None = None
    """Who signed in, once it is approved."""
    nonce: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)
    """For an outside provider: its ``nonce`` and PKCE's secret."""
    wrong: int = 0
    """How often somebody took it for another by half of its code."""

    @property
    def hint(self) -> str:
        """The half of the code that the owner is told: enough to name it, not to approve it."""
        return f"{self.code[:4]}-____"

    @property
    def answer_to(self) -> str:
        """Who gets the answer, for the owner: not "this computer", a stranger sits at another."""
        return target_of(self.asked.redirect_uri, "the computer of that browser")

    def describe(self, now: float) -> dict[str, object]:
        """What the owner is shown before deciding."""
        client = self.asked.client
        return {
            "code": self.hint,
            "client": client.name,
            "client_id": client.client_id,
            "client_origin": client.origin,
            "answer_to": self.answer_to,
            "address": self.address,
            "waiting_seconds": max(0, int(now - self.since)),
            "expires_in": max(0, int(self.expires_at - now)),
        }


class TooManySignIns(Exception):
    """No more can begin at this moment."""


class SignIns:
    """The sign-ins of one tunnel that are not over."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_id: dict[str, SignIn] = {}
        self._allowance = float(BURST)
        self._counted_at = now()

    def begin(self, asked: Asked, browser: str, address: str) -> SignIn:
        """Begin one. Raises ``TooManySignIns``."""
        now = self._now()
        self._forget_old(now)
        waiting = [each for each in self._by_id.values() if each.decision is Decision.WAITING]
        whose = network_of(address)
        of_address = sum(network_of(each.address) == whose for each in waiting) if whose else 0
        refilled = self._allowance + (now - self._counted_at) / REFILL_SECONDS
        self._allowance, self._counted_at = min(float(BURST), refilled), now
        if len(self._by_id) >= MAX_WAITING or of_address >= MAX_OF_ADDRESS or self._allowance < 1:
            raise TooManySignIns
        self._allowance -= 1
        sign_in = SignIn(
            secrets.token_urlsafe(16),
            self._fresh_code(),
            asked,
            hash_token(browser),
            address,
            now,
            now + SECONDS,
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(32),
        )
        self._by_id[sign_in.id] = sign_in
        return sign_in

    def find(self, identity: str, browser: str) -> SignIn | None:
        """The sign-in, for the browser that began it, until it is over."""
        self._forget_old(self._now())
        found = self._by_id.get(identity)
        if found is None or not compare_digest(found.browser, hash_token(browser)):
            return None
        return found

    def waiting(self) -> tuple[SignIn, ...]:
        """Those that nobody has decided about, the oldest first."""
        self._forget_old(self._now())
        return tuple(each for each in self._by_id.values() if each.decision is Decision.WAITING)

    def approve(self, code: str, visitor: Visitor) -> SignIn | None:
        """Let the sign-in with ``code`` pass as ``visitor``; None: there is none."""
        return self._decide(code, Decision.APPROVED, visitor)

    def deny(self, code: str) -> SignIn | None:
        """Turn the sign-in with ``code``, or with that first half, away; None: there is none."""
        return self._decide(code, Decision.DENIED, None)

    def settle(self, sign_in: SignIn, visitor: Visitor | None) -> None:
        """An outside provider has said who it is; None: nobody who may pass."""
        sign_in.decision = Decision.DENIED if visitor is None else Decision.APPROVED
        sign_in.visitor = visitor

    def take(self, sign_in: SignIn) -> bool:
        """It is over: its answer is on the way. False: it was over already."""
        return self._by_id.pop(sign_in.id, None) is not None

    def clear(self) -> None:
        """Nobody waits any more."""
        self._by_id.clear()

    def _decide(self, code: str, decision: Decision, visitor: Visitor | None) -> SignIn | None:
        wanted = plain_code(code)
        for sign_in in self.waiting():
            whole = plain_code(sign_in.code)
            half = whole[:4]
            if wanted == whole or (wanted == half and decision is Decision.DENIED):
                sign_in.decision, sign_in.visitor = decision, visitor
                return sign_in
            if wanted[:4] == half:
                sign_in.wrong += 1
                if sign_in.wrong >= MAX_WRONG:
                    sign_in.decision = Decision.DENIED
        return None

    def _fresh_code(self) -> str:
        taken = {each.code[:4] for each in self._by_id.values()}
        while True:
            letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
            if letters[:4] not in taken:  # each is named by its first half
                return f"{letters[:4]}-{letters[4:]}"

    def _forget_old(self, now: float) -> None:
        for each in [each for each in self._by_id.values() if now >= each.expires_at]:
            del self._by_id[each.id]
