"""A way: one engine used in one manner, and what is true of it.

Engines are too coarse to advise on: a quick tunnel and a named one share a program and little else.
"""

from __future__ import annotations

from dataclasses import dataclass

from underpass.decide.need import Audience, Auth, Need, Task, Traffic, Visitor

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
    words: tuple[str, ...] = ()
    """The options of `underpass open` that ask for it. ``CIDR`` stands for addresses."""
    traffic: frozenset[Traffic] = frozenset(Traffic)
    """What passes behind it."""
    theirs: str = ""
    """Why underpass does not open a tunnel with it; "" where it does."""

    def serves(self, need: Need) -> bool:
        """Whether what ``need`` sends can pass behind it, shown by its kind of visitor."""
        comes = need.visitor is None or need.task is Task.REACH or need.visitor in self.passable
        return comes and need.traffic in self.traffic


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
    limits: tuple[str, ...] = ()

    def gate(self, auth: Auth, need: Need) -> GateOffer | None:
        """How ``auth`` is had here for what ``need`` sends; the first that its visitor can pass,
        else one that it cannot."""
        offers = [one for one in self.gates if one.auth is auth and need.traffic in one.traffic]
        return next((one for one in offers if one.serves(need)), offers[0] if offers else None)

    def chosen(self, need: Need) -> GateOffer:
        """The gate that the commands ask for: the one wanted, else the first of ours that the
        visitor can pass."""
        if need.auth is not None and (wanted := self.gate(need.auth, need)) is not None:
            return wanted
        offers = [one for one in self.gates if one.serves(need)] or list(self.gates)
        gates = [one for one in offers if one.auth is not Auth.NONE]
        return next((one for one in gates if not one.theirs), (offers or gates)[0])

    @property
    def is_driven_whole(self) -> bool:
        """Whether underpass itself opens, guards and proves all that is offered."""
        return not any(gate.theirs for gate in self.gates)
