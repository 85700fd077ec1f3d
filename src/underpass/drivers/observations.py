"""What a foreign program's output says about its tunnel, as nouns.

A driver's ``read`` turns one line into one of these, or into None. None of them makes a tunnel
live: that is said only after a proof through the public name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Carrying:
    """The program says that it carries traffic."""

    url: str = ""
    """Where visitors come, when the line names it; "" when it was known before or is not yet."""
    port: int = 0
    """The public port, when the line names only that: it takes the place of the plan's."""


@dataclass(frozen=True, slots=True)
class Faltering:
    """The program's way to its far end is gone; it dials again by itself."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The program says why it does not carry, or will soon end."""

    code: str
    """Stable, kebab-case: ``credential-refused``, ``far-end-unreachable``, ``port-taken``, …"""
    detail: str
    """For people, without a secret."""
    hint: str = ""
    """What to do or type, if there is something."""
    fatal: bool = False
    """Trying again cannot help until somebody changes something."""
    lingers: bool = False
    """The program goes on running after it, for nothing: whoever keeps it ends it."""


Observation = Carrying | Faltering | Refusal
