"""A way: one engine used in one manner, and what is true of it.

Engines are too coarse to advise on: a quick tunnel and a named one share a program and little else.
"""

from __future__ import annotations

from dataclasses import dataclass

from underpass.decide.need import Audience, Auth, Task, Traffic, Visitor

EVERYBODY = frozenset(Visitor)
HEADER_SENDERS = frozenset({Visitor.PROGRAM, Visitor.LOCAL_MCP, Visitor.OWN_MACHINE})
WITH_SOFTWARE = frozenset({Visitor.PROGRAM, Visitor.OWN_MACHINE})


@dataclass(frozen=True, slots=True)
class GateOffer:
    """One way for visitors to show who they are."""

    auth: Auth
    how: str
    passable: frozenset[Visitor] = EVERYBODY
    """The visitors that can pass it."""


@dataclass(frozen=True, slots=True)
class Way:
    """One engine used in one manner. Booleans say what it can; what it cannot is the default."""

    id: str
    engine: str
    """The engine's word, as drivers have it."""
    title: str
    tasks: frozenset[Task]
    traffic: frozenset[Traffic]
    audiences: frozenset[Audience]
    visitors: frozenset[Visitor]
    suits: str
    """What it is good at, in a few words."""
    visitor_sees: str
    setup_seconds: int
    """With programs and accounts in place."""
    gates: tuple[GateOffer, ...] = ()
    programs: tuple[str, ...] = ()
    account: str = ""
    """The vendor that wants a sign-up."""
    third_party: str = ""
    """Who else carries or brokers the traffic."""
    own_domain: bool = False
    paid: bool = False
    own_server: bool = False
    """Needs a server of yours that visitors can dial."""
    ssh_login: bool = False
    """Needs a login by SSH."""
    stable_name: bool = False
    encrypted: bool = True
    streams: bool = True
    resumes: bool = False
    """Exchanges in progress outlive a lost link."""
    returns: bool = False
    """Comes back by itself, under the same name, after sleep or a restart of the far end."""
    inspects: bool = False
    whole_network: bool = False
    unix_origins: bool = False
    per_machine: bool = False
    """Set-up is done again on each machine."""
    driven: bool = False
    """Whether underpass itself opens, guards and proves it today."""
    limits: tuple[str, ...] = ()

    def gate(self, auth: Auth) -> GateOffer | None:
        """How ``auth`` is had here."""
        return next((gate for gate in self.gates if gate.auth is auth), None)
