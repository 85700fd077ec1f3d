"""The signature gate: a webhook whose sender has signed its raw body.

The body is held until it is whole, judged byte for byte as it came, and only then passed on. Each
signature is good once. The fields stay on the request: they open nothing but this one body, and
many origins check them again.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from underpass.guard.errors import SecretMalformed
from underpass.guard.materials import Materials
from underpass.guard.outcomes import AWAY, REFUSED, Deny, Later, NeedsBody, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.guard.references import read_reference
from underpass.guard.replays import Replays
from underpass.guard.signature_schemes import SCHEMES, WINDOW_SECONDS, Scheme, Signed
from underpass.http.messages import RequestHead
from underpass.model.gate_arguments import parse_signature
from underpass.model.gates import GateSpec

THREAD_BYTES: Final = 256 * 1024
# A longer body is hashed beside the loop: this much takes a millisecond without SHA extensions.


class SignatureGate:
    """See ``Gate``. Verifies with any of ``keys``: several while one replaces another."""

    kind = "signature"

    def __init__(
        self, text: str, scheme: Scheme, keys: Sequence[bytes], wall_clock: Callable[[], float]
    ) -> None:
        self.text = text
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
            return self._admit(signed, await asyncio.to_thread(self._verify, signed, body))

        return Later(verify_and_admit)

    def _verify(self, signed: Signed, body: bytes) -> bytes | None:
        """The first key's MAC over what was signed if a right one was shown, else None: by that
        one a replay is known, whichever of several signatures it repeats. All are compared: time
        tells nothing about which."""
        known, is_right = b"", False
        for key in self._keys:
            mac = hmac.new(key, signed.prefix, sha256)
            mac.update(body)
            expected = mac.digest()
            known = known or expected
            for given in signed.macs:
                is_right |= hmac.compare_digest(given, expected)
        return known if is_right else None

    def _admit(self, signed: Signed, mac: bytes | None) -> Pass | Deny:
        if mac is None or not self._is_timely(signed):
            return REFUSED
        replays = self._untimed if signed.seconds is None else self._timed
        is_first = replays.first_use(mac, self._wall_clock())
        if is_first is None:
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
    return SignatureGate(str(spec), scheme, keys, materials.wall_clock)
