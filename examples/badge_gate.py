"""A gate of one's own: visitors show a badge, which the house signs.

    --gate acme.badge:env:BADGE_SECRET

A badge is ``NAME.MAC`` in the field ``Badge``, with the HMAC-SHA256 of the name under the house's
secret. To install such a gate, name its maker in the project's ``pyproject.toml``:

    [project.entry-points."underpass.gates"]
    "acme.badge" = "badge_gate:make_badge"

A program that opens tunnels itself can say ``register("acme.badge", make_badge)`` instead.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from underpass.guard.gates import Deny, Materials, Outcome, Pass, Peer
from underpass.guard.references import read_reference
from underpass.guard.secrets import Secret
from underpass.http.messages import RequestHead
from underpass.model.errors_spec import GateMalformed
from underpass.model.gate_arguments import parse_reference
from underpass.model.gates import GateSpec

BADGE = re.compile(rb"([a-z]{1,32})\.([0-9a-f]{64})")


class BadgeGate:
    """See ``underpass.guard.gates.Gate``."""

    kind = "acme.badge"

    def __init__(self, text: str, secret: Secret) -> None:
        self.text = text
        self._secret = secret

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """Judge one request. Exact bytes, one field, and a comparison that takes equally long."""
        shown = [value for name, value in head.headers if name.lower() == b"badge"]
        badge = BADGE.fullmatch(shown[0]) if len(shown) == 1 else None
        if badge is None or not hmac.compare_digest(sign(badge[1], self._secret), badge[2]):
            return Deny(403, "gate-refused")
        return Pass(strip=(b"badge",), identity=f"{self.kind}:{badge[1].decode()}")

    def recognise(self, head: RequestHead) -> tuple[bytes, ...]:
        """A badge stays here on paths that need none, too."""
        return (b"badge",) if any(name.lower() == b"badge" for name, _ in head.headers) else ()


def sign(name: bytes, secret: Secret) -> bytes:
    """The second half of a badge."""
    return hmac.new(secret.reveal().encode(), name, sha256).hexdigest().encode()


def make_badge(spec: GateSpec, materials: Materials) -> BadgeGate:
    """Make the gate; what is wrong with its text is told before anything opens."""
    try:
        reference = parse_reference(spec.argument)
    except ValueError as error:
        raise GateMalformed(text=spec.kind, why=str(error)) from None
    return BadgeGate(str(spec), read_reference(reference, materials.environment))
