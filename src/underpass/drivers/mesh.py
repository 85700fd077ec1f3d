"""Mending a mesh of machines, for engines that carry a whole network: nouns, and one ability.

A mesh is looked at from one node. What was found names who is at fault, as far as it can be seen
from there; steps say what to do about it, in the order in which it helps, and who can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from underpass.drivers.errors import ENGINE_EXIT_CODE
from underpass.model.errors import Setup

if TYPE_CHECKING:
    from underpass.drivers.plans import Site
    from underpass.guard.secrets import Secret


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen."""

    subject: str
    """Name of the node it is about."""
    code: str
    """Stable: ``peer-offline``, ``node-key-expired``, …"""
    detail: str
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do about a finding."""

    code: str
    subject: str
    what: str
    """A sentence: what it does, and what it costs."""
    command: tuple[str, ...] = ()
    """What a person would type for it, on ``subject``."""
    is_ours: bool = False
    """It can be done from here, by ``mend``."""


@dataclass(frozen=True, slots=True)
class MeshView:
    """A mesh as one node sees it."""

    node: str
    scope: str
    """Who is at fault: ``none``, ``here``, ``everywhere``, or the names of nodes with commas."""
    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return all(finding.ok for finding in self.findings)


@runtime_checkable
class MendsMesh(Protocol):
    """A driver whose engine carries a mesh that can be looked at and mended."""

    async def look_at_mesh(
        self, site: Site, peers: Sequence[str], visits: Sequence[str]
    ) -> MeshView:
        """How it is now. ``peers`` names the nodes that matter, () all of them; ``visits`` are
        ``http://`` URLs of programs on them that must answer. Changes nothing."""

    async def mend(
        self,
        step: Step,
        site: Site,
        *,
        key: Secret | None,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        """Carry out a step that is ours; what a person has to do meanwhile is said.

        Returns when it seems to have helped, or after ``seconds``: whoever wants to know looks
        again. Raises ``MeshUnmended`` when it cannot be done at all.
        """


@dataclass(eq=False)
class MeshUnmended(Setup):
    """A step that mends a mesh cannot be carried out from here, or by this user."""

    what: str
    why: str
    advice: str = ""

    code = "mesh-unmended"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot {what}: {why}"
    hint_text = "{advice}"

    @property
    def hint(self) -> str | None:
        """What to do, where it is known."""
        return self.advice or None


@dataclass(eq=False)
class NoMesh(Setup):
    """The engine carries no mesh that could be looked at."""

    engine: str

    code = "no-mesh"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot mend a mesh of {engine}: it carries none"
    hint_text = "leave --engine out: tailscale does"
