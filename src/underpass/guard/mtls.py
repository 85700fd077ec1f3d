"""The mtls gate: a client certificate that the owner's authority has signed.

The chain is verified by TLS itself, here, where the visitor's TLS ends; this gate judges what TLS
does not know: whether one was shown at all, for whom it is, and whether it is valid still. Nobody's
word for a certificate counts, our own relay's neither: so the gate needs ``--tls passthrough``.
Revocation lists are not read: let certificates be short-lived.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from underpass.guard.errors import KeysUnreadable
from underpass.guard.materials import Materials
from underpass.guard.outcomes import REFUSED, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import RequestHead
from underpass.model.gate_arguments import parse_mtls
from underpass.model.gates import GateSpec

_SHOWABLE: Final = re.compile(r"[!-~]{1,128}")
# Authorities sign what they are asked to: a common name may hold anything, a line's end too.


class MtlsGate:
    """See ``Gate``."""

    kind = "mtls"

    def __init__(self, text: str, names: Iterable[str], wall_clock: Callable[[], float]) -> None:
        self.text = text
        self._names = frozenset(names)
        self._wall_clock = wall_clock

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``."""
        shown = peer.certificate
        if shown is None or not shown.not_before <= self._wall_clock() <= shown.not_after:
            return REFUSED
        name = next((each for each in shown.names if each in self._names), None)
        if self._names and name is None:
            return REFUSED
        name = name or next(filter(_SHOWABLE.fullmatch, shown.names), shown.fingerprint[:16])
        return Pass(identity=f"mtls:{name}", until=shown.not_after)


def make_mtls(spec: GateSpec, materials: Materials) -> MtlsGate:
    """The gate for ``spec``; the authority itself is for ``ask_for_certificates``."""
    return MtlsGate(str(spec), parse_mtls(spec.argument).names, materials.wall_clock)


def ask_for_certificates(context: ssl.SSLContext, gates: Iterable[GateSpec]) -> None:
    """Have ``context`` ask visitors for a certificate, if any of ``gates`` wants one. Those who
    show none come in all the same, as far as the gates: other paths may have other gates. Raises
    ``KeysUnreadable``."""
    places = {parse_mtls(gate.argument).authority.place for gate in gates if gate.kind == "mtls"}
    for place in places:
        try:
            context.load_verify_locations(cadata=Path(place).read_text("ascii"))
        except (OSError, ValueError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, OSError) else "it holds no PEM certificate"
            raise KeysUnreadable(path=place, why=str(why).lower()) from None
        context.verify_mode = ssl.CERT_OPTIONAL
        # No certificate without a handshake of its own, as far as TLS 1.3 goes. An older session
        # can go on with this very context only, and its certificate's end is judged each time.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
