"""Errors of putting a tunnel together."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Setup


@dataclass(eq=False)
class MetricsNotListening(Setup):
    """The place for a tunnel's metrics is taken."""

    address: str
    why: str

    code = "metrics-not-listening"
    sentence = "cannot serve metrics on {address}: {why}"
    hint_text = "choose another port with --metrics-listen; port 0 takes a free one"
