"""Gates that plug-ins bring: found by entry point, and loaded only when a tunnel names one.

    [project.entry-points."underpass.gates"]
    "acme.badge" = "acme_gates:make_badge"

The entry point's name is the gate's kind, with a dot in it; what it points to is a ``GateMaker``.
A foreign gate sees heads without what visitors claim about themselves, as the origin will, and
what it raises refuses the visitor.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from math import isnan
from typing import Final, cast

import msgspec

from underpass.guard.checks import Gate, Recognises
from underpass.guard.errors import GateNotLoaded
from underpass.guard.holds import Hold
from underpass.guard.materials import GateMaker, Materials
from underpass.guard.outcomes import AWAY, Deny, Later, NeedsBody, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.fields import strip_claims
from underpass.http.grammar import is_target, is_token, is_value
from underpass.http.messages import RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.errors_spec import GateUnknown
from underpass.model.gates import GateSpec

GROUP: Final = "underpass.gates"

_STATUSES: Final = frozenset({400, 401, 403, 413, 503})
_CODE: Final = re.compile(r"gate-[a-z-]{1,40}")
_IDENTITY: Final = re.compile(r"[!-~]{0,256}")

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
        self._recognising = gate if isinstance(gate, Recognises) else None
        self.kind = spec.kind
        self.text = str(spec)

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``."""
        headers = strip_claims(head.headers)
        seen = msgspec.structs.replace(head, headers=headers)
        return self._hear(lambda: self._gate.judge(seen, peer))

    def recognise(self, head: RequestHead) -> tuple[bytes, ...]:
        """See ``Recognises``: nothing, unless the foreign gate can tell."""
        if self._recognising is None:
            return ()
        try:
            fields = tuple(bytes(name).lower() for name in self._recognising.recognise(head))
            if all(map(is_token, fields)):
                return fields
        except Exception:
            log.exception("the gate %s failed to tell what is meant for it", self.kind)
            return ()
        log.error("the gate %s said nothing that can be understood", self.kind)
        return ()

    def _hear(self, say: Callable[[], Outcome]) -> Outcome:
        """What the gate says, now and in the end; ``AWAY`` when it fails or says nothing sound."""
        try:
            outcome = say()
            if isinstance(outcome, NeedsBody):
                decide = outcome.decide
                return NeedsBody(outcome.limit, lambda body: self._hear(lambda: decide(body)))
            if isinstance(outcome, Later):
                return Later(partial(self._wait, outcome.wait), outcome.seconds)
            if isinstance(outcome, Pass):
                return _sound_pass(outcome)
            if isinstance(outcome, Deny):
                return _sound_deny(outcome)
        except Exception:
            log.exception("the gate %s failed; the visitor is refused", self.kind)
            return AWAY
        log.error("the gate %s said nothing that can be understood", self.kind)
        return AWAY

    async def _wait(self, wait: Callable[[], Awaitable[Outcome]]) -> Outcome:
        outcome = await wait()
        return self._hear(lambda: outcome)


def _sound_pass(said: Pass) -> Pass:
    """``said`` with names as they are compared. Raises ``ValueError`` or what comes of a wrong
    type: a field that stays by mistake would be a credential given away."""
    strip = tuple(bytes(name).lower() for name in said.strip)
    if not all(map(is_token, strip)) or not _IDENTITY.fullmatch(said.identity):
        raise ValueError("a Pass that holds no names of fields, or an odd identity")
    if said.target is not None and not is_target(said.target):
        raise ValueError("a Pass with a target that is none")
    until = float(said.until)
    if isnan(until) or not all(isinstance(hold, Hold) for hold in said.holds):
        raise ValueError("a Pass whose end cannot be told")
    return replace(said, strip=strip, until=until, holds=tuple(said.holds))


def _sound_deny(said: Deny) -> Deny:
    """``said``, which must be an answer that clients and proofs read rightly."""
    if said.status not in _STATUSES or not _CODE.fullmatch(said.code):
        raise ValueError("a Deny with another status or code than gates have")
    if not all(is_token(name) and is_value(value) for name, value in said.challenge):
        raise ValueError("a Deny with a challenge that is no field")
    return said
