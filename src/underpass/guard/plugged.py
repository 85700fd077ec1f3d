"""Gates that plug-ins bring: found by entry point, and loaded only when a tunnel names one.

    [project.entry-points."underpass.gates"]
    "acme.badge" = "acme_gates:make_badge"

The entry point's name is the gate's kind, with a dot in it; what it points to is a ``GateMaker``.
A foreign gate sees heads without what visitors claim about themselves, as the origin will, and
what it raises refuses the visitor.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Final, cast

import msgspec

from underpass.guard.checks import Gate
from underpass.guard.errors import GateNotLoaded
from underpass.guard.materials import GateMaker, Materials
from underpass.guard.outcomes import AWAY, Deny, Later, NeedsBody, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.fields import strip_claims
from underpass.http.messages import RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.errors_spec import GateUnknown
from underpass.model.gates import GateSpec

GROUP: Final = "underpass.gates"

log = logging.getLogger(__name__)

_registered: dict[str, GateMaker] = {}


def register(kind: str, make: GateMaker) -> None:
    """Make a gate known in this process, for programs that bring their own without installing it.
    An installed one of the same name is not asked then."""
    _registered[kind] = make


def load_plugged(spec: GateSpec, materials: Materials) -> Gate:
    """The gate for ``spec``, sheltered. Raises ``GateUnknown`` when nobody brings it,
    ``GateNotLoaded`` when it cannot be made, and whatever ``UnderpassError`` its maker raises."""
    make = _registered.get(spec.kind) or _load(spec.kind)
    try:
        gate = make(spec, materials)
    except UnderpassError:
        raise
    except Exception as error:
        raise GateNotLoaded(gate=spec.kind, why=f"{type(error).__name__}: {error}") from error
    return Sheltered(gate, spec)


def _load(kind: str) -> GateMaker:
    for point in entry_points(group=GROUP):
        if point.name == kind:
            try:
                return cast(GateMaker, point.load())
            except Exception as error:
                why = f"{point.value}: {type(error).__name__}: {error}"
                raise GateNotLoaded(gate=kind, why=why) from error
    raise GateUnknown(text=kind)


class Sheltered:
    """A foreign gate, kept from judging by what the origin will not see, and from failing open."""

    def __init__(self, gate: Gate, spec: GateSpec) -> None:
        self._gate = gate
        self.kind = spec.kind
        self.text = str(spec)

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``."""
        headers = strip_claims(head.headers)
        try:
            outcome = self._gate.judge(msgspec.structs.replace(head, headers=headers), peer)
        except Exception:
            log.exception("the gate %s failed; the visitor is refused", self.kind)
            return AWAY
        if isinstance(outcome, (Pass, Deny, NeedsBody, Later)):
            return outcome
        log.error("the gate %s said nothing that can be understood", self.kind)
        return AWAY
