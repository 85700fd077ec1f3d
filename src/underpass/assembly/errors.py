"""Errors of putting a tunnel together."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Refused, Setup


@dataclass(eq=False)
class MetricsNotListening(Setup):
    """The place for a tunnel's metrics is taken."""

    address: str
    why: str

    code = "metrics-not-listening"
    sentence = "cannot serve metrics on {address}: {why}"
    hint_text = "choose another port with --metrics-listen; port 0 takes a free one"


@dataclass(eq=False)
class TrustUncheckable(Refused):
    """A tunnel whose visitors' answers cannot be compared with its own machine's."""

    name: str
    why: str

    code = "trust-uncheckable"
    sentence = "cannot compare what visitors of {name} get with what this machine gets: {why}"
    hint_text = "examine an http or mcp tunnel that is live"
