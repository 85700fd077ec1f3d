"""The signature gate: a webhook whose sender has signed its raw body.

The body is held until it is whole, judged byte for byte as it came, and only then passed on. Each
signature is good once, also after a restart: before the body goes on, its signature is on disk. The
fields stay on the request: they open nothing but this one body, and many origins check them again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from underpass.guard.errors import SecretMalformed
from underpass.guard.materials import Materials
from underpass.guard.outcomes import AWAY, REFUSED, Deny, Later, NeedsBody, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.guard.references import read_reference
from underpass.guard.replays import ReplayMemory, Replays
from underpass.guard.signature_schemes import SCHEMES, WINDOW_SECONDS, Scheme, Signed
from underpass.http.messages import RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.gate_arguments import parse_signature
from underpass.model.gates import GateSpec

log = logging.getLogger(__name__)

THREAD_BYTES: Final = 256 * 1024
# A longer body is hashed beside the loop: this much takes a millisecond without SHA extensions.


class SignatureGate:
    """See ``Gate``. Verifies with any of ``keys``: several while one replaces another."""

    kind = "signature"

    def __init__(
        self,
        text: str,
        scheme: Scheme,
        keys: Sequence[bytes],
        wall_clock: Callable[[], float],
        memory: ReplayMemory | None = None,
    ) -> None:
        """Without ``memory`` a signature is good once as long as this process runs."""
        self.text = text
        self._memory = memory
        self._scheme = scheme
        self._keys = tuple(keys)
        self._wall_clock = wall_clock
        self._timed = Replays(2 * WINDOW_SECONDS + 1)
        self._untimed = Replays(None)
        self._passed = Pass(identity=text.partition(",")[0])

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``. The body is asked for only when the fields could be right."""
        if head.upgrade:
            return REFUSED  # what follows a change of protocols has been signed by nobody
        signed = self._scheme.read(head.headers)
        if signed is None or not self._is_timely(signed):
            return REFUSED
        return NeedsBody(self._scheme.limit, lambda body: self._decide(signed, body))

    def _is_timely(self, signed: Signed) -> bool:
        return signed.seconds is None or abs(self._wall_clock() - signed.seconds) <= WINDOW_SECONDS

    def _decide(self, signed: Signed, body: bytes) -> Outcome:
        if len(body) <= THREAD_BYTES:
            return self._admit(signed, self._verify(signed, body))

        async def verify_and_admit() -> Outcome:
            admitted = self._admit(signed, await asyncio.to_thread(self._verify, signed, body))
            return await admitted.wait() if isinstance(admitted, Later) else admitted

        return Later(verify_and_admit)

    def _verify(self, signed: Signed, body: bytes) -> tuple[bytes, ...]:
        """Each key's MAC over what was signed if a right one was shown, else none: by them a replay
        is known, whichever of several signatures it repeats, and whichever keys are left when it
        comes. All are compared: time tells nothing about which."""
        known: list[bytes] = []
        is_right = False
        for key in self._keys:
            mac = hmac.new(key, signed.prefix, sha256)
            mac.update(body)
            expected = mac.digest()
            known.append(expected)
            for given in signed.macs:
                is_right |= hmac.compare_digest(given, expected)
        return tuple(known) if is_right else ()

    def _admit(self, signed: Signed, macs: tuple[bytes, ...]) -> Pass | Deny | Later:
        if not macs or not self._is_timely(signed):
            return REFUSED
        replays = self._untimed if signed.seconds is None else self._timed
        is_first = replays.first_use(macs[0], self._wall_clock())
        if is_first is None:
            return AWAY
        if not is_first:
            return REFUSED
        memory = self._memory
        if memory is None:
            return self._passed
        return Later(lambda: self._remember(memory, replays, signed, macs))

    async def _remember(
        self, memory: ReplayMemory, replays: Replays, signed: Signed, macs: tuple[bytes, ...]
    ) -> Pass | Deny:
        until = None if signed.seconds is None else signed.seconds + WINDOW_SECONDS + 1.0
        try:
            is_first = await memory.first_use(macs, until)
        except UnderpassError as error:
            log.error("a webhook is turned away: %s", error.message)
            replays.forget(macs[0])
            return AWAY
        return self._passed if is_first else REFUSED


def make_signature(spec: GateSpec, materials: Materials) -> SignatureGate:
    """The gate for ``spec``. Raises ``SecretMissing``, ``SecretMalformed`` and what ``read_secret``
    raises."""
    terms = parse_signature(spec.argument)
    scheme, keys = SCHEMES[terms.scheme], []
    for reference in terms.secrets:
        secret = read_reference(reference, materials.environment)
        try:
            keys.append(scheme.make_key(secret.reveal()))
        except ValueError as error:
            raise SecretMalformed(place=str(reference), why=str(error)) from None
    return SignatureGate(str(spec), scheme, keys, materials.wall_clock, materials.replays)
