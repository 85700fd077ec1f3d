"""Errors that only the front doors raise."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Unreachable


@dataclass(eq=False)
class ConnectorAway(Unreachable):
    """No connector of this tunnel is linked to the relay, and none came in time."""

    name: str
    seconds: float

    code = "connector-away"
    sentence = "cannot reach tunnel {name}: no connector came back within {seconds:g} s"
    hint_text = "underpass list"
