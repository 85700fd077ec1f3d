"""The life of a tunnel as a table: states, what may happen, and what follows.

``live`` is entered by a passed proof and by nothing else. ``closed`` is the end. What arrives
too late to matter (a proof that ends while closing) stands in the table too: it changes nothing.
A pair that is not in the table is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from underpass.model.errors import Defect


class TunnelState(StrEnum):
    """How a tunnel is doing."""

    OPENING = "opening"
    """An engine is being started; there is no public address yet."""
    PROVING = "proving"
    """There is an address; no proof has come back yet."""
    LIVE = "live"
    """A proof or a visitor has lately gone through, and strangers are refused."""
    FAILING = "failing"
    """Some layer is broken; the verdict names it. It recovers by itself."""
    CLOSING = "closing"
    """No new visitors; those inside have their grace."""
    CLOSED = "closed"
    """Nothing is left."""


class Trigger(StrEnum):
    """What moves a tunnel from one state to another."""

    CARRIED = "carried"
    """An engine carries it: the public address is known (again)."""
    LINK_LOST = "link lost"
    PROOF_PASSED = "proof passed"
    PROOF_FAILED = "proof failed"
    CLOSE = "close"
    """Asked by a person, an agent or a signal."""
    LEASE_ENDED = "lease ended"
    SUPERSEDED = "superseded"
    """A newer instance holds the name; this one stands down for good."""
    RELEASED = "released"
    """Sockets, tasks and files of it are gone."""


_S, _T = TunnelState, Trigger
_ENDINGS: Final = {_T.CLOSE: _S.CLOSING, _T.LEASE_ENDED: _S.CLOSING, _T.SUPERSEDED: _S.CLOSING}

TRANSITIONS: Final[Mapping[TunnelState, Mapping[Trigger, TunnelState]]] = {
    _S.OPENING: {
        _T.CARRIED: _S.PROVING,
        _T.LINK_LOST: _S.OPENING,
        _T.PROOF_FAILED: _S.FAILING,
        **_ENDINGS,
        _T.RELEASED: _S.CLOSED,
    },
    _S.PROVING: {
        _T.CARRIED: _S.PROVING,
        _T.LINK_LOST: _S.FAILING,
        _T.PROOF_PASSED: _S.LIVE,
        _T.PROOF_FAILED: _S.FAILING,
        **_ENDINGS,
    },
    _S.LIVE: {
        _T.CARRIED: _S.LIVE,
        _T.LINK_LOST: _S.FAILING,
        _T.PROOF_PASSED: _S.LIVE,
        _T.PROOF_FAILED: _S.FAILING,
        **_ENDINGS,
    },
    _S.FAILING: {
        _T.CARRIED: _S.FAILING,
        _T.LINK_LOST: _S.FAILING,
        _T.PROOF_PASSED: _S.LIVE,
        _T.PROOF_FAILED: _S.FAILING,
        **_ENDINGS,
    },
    _S.CLOSING: {
        _T.CARRIED: _S.CLOSING,
        _T.LINK_LOST: _S.CLOSING,
        _T.PROOF_PASSED: _S.CLOSING,
        _T.PROOF_FAILED: _S.CLOSING,
        _T.CLOSE: _S.CLOSING,
        _T.LEASE_ENDED: _S.CLOSING,
        _T.SUPERSEDED: _S.CLOSING,
        _T.RELEASED: _S.CLOSED,
    },
    _S.CLOSED: {},
}


@dataclass(eq=False)
class ImpossibleTransition(Defect):
    """Something happened to a tunnel that the table does not know."""

    state: str
    trigger: str

    code = "impossible-transition"
    sentence = "cannot follow {trigger!r} in a tunnel that is {state}"
    hint_text = "this is a bug of underpass: please report it with the lines around it"


def after(state: TunnelState, trigger: Trigger) -> TunnelState:
    """The state that follows. Raises ``ImpossibleTransition``."""
    try:
        return TRANSITIONS[state][trigger]
    except KeyError:
        raise ImpossibleTransition(state=str(state), trigger=str(trigger)) from None


def diagram() -> str:
    """The table as a Mermaid state diagram for the docs; steps that change nothing left out."""
    lines = ["stateDiagram-v2", "    [*] --> opening"]
    for state, row in TRANSITIONS.items():
        lines += [
            f"    {state} --> {target}: {trigger}"
            for trigger, target in row.items()
            if target is not state
        ]
    return "\n".join([*lines, "    closed --> [*]", ""])
