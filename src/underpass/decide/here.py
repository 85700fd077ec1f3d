"""What is here: facts about this machine, gathered by a shell and only weighed in this package."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A program that is here, as its engine's driver found it."""

    program: str
    version: str = ""
    """As it told; "" when it did not tell in time, or told something else."""
    why_not: str = ""
    """Why it does not count: too old, not running, another product of the same name."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a quota in its present window."""

    quota: str
    """The quota's id in the data file."""
    amount: int


@dataclass(frozen=True, slots=True)
class Measured:
    """How an engine lately was, by a proof or a visitor."""

    engine: str
    healthy: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A tunnel on this machine that underpass did not open."""

    engine: str
    where: str
    exposes: str
    port: int = 0
    """The local port that it leads to, as far as that can be seen."""


@dataclass(frozen=True, slots=True)
class Here:
    """This machine. The default says nothing: nobody looked."""

    looked: bool = False
    """Whether anybody looked; if not, no program is held to be missing."""
    programs: tuple[Found, ...] = ()
    accounts: frozenset[str] = frozenset()
    """Engines for which a credential was seen. Its absence proves nothing."""
    own_server: bool | None = None
    """A server of the asker that others can dial; None: not known."""
    ssh_login: bool | None = None
    """A login by SSH on a machine that the service, or the visitors, can reach."""
    left: tuple[Left, ...] = ()
    measured: tuple[Measured, ...] = ()
    foreign: tuple[Foreign, ...] = ()

    def find(self, program: str) -> Found | None:
        """The program, when it is here and is the one meant."""
        found = (f for f in self.programs if f.program == program and not f.why_not)
        return next(found, None)

    def lacks(self, program: str) -> bool:
        """Whether it was looked for and is not here."""
        return self.looked and self.find(program) is None

    def health_of(self, engine: str) -> Measured | None:
        """The newest measurement of ``engine``."""
        return next((m for m in reversed(self.measured) if m.engine == engine), None)

    def left_of(self, quota: str) -> int | None:
        """What is left of ``quota``, where that is known."""
        return next((left.amount for left in self.left if left.quota == quota), None)
