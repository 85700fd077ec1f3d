"""What a driver is given to plan with, and what it plans: nouns only.

A plan is made before anything is started, and says all that will be: the program's words, files,
variables, calls, and what a visitor will get. Whoever wants to see it first can print it; secrets
stand in it only inside ``Secret`` and in contents that no ``repr`` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from underpass.guard.secrets import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from underpass.relay.connector.address import RelayAddress


@dataclass(frozen=True, slots=True)
class Detection:
    """What is here of an engine."""

    installed: bool
    program: str = ""
    """Path of its program, or name of its module; "" when there is none."""
    version: str = ""
    signed_in: bool | None = None
    """Whether it has an account or key to work with; None where none is needed or known of."""
    limits: tuple[str, ...] = ()
    """What this version cannot do, a sentence each."""
    why_not: str = ""
    """Why it cannot be used; "" when it can."""
    hint: str = ""
    """What to do or type, when it cannot."""
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a driver learnt for its own ``plan``. Never a secret."""

    @property
    def is_usable(self) -> bool:
        """Whether a tunnel can be tried with it."""
        return self.installed and not self.why_not


class DoorKind(StrEnum):
    """Where the gatehouse listens for an engine."""

    UNIX = "unix"
    PORT = "port"
    NONE = "none"
    """The engine hands visitors over itself."""


@dataclass(frozen=True, slots=True)
class DoorAddress:
    """The gatehouse's own door for one engine: a Unix socket, or a loopback port."""

    unix: Path | None = None
    port: int = 0
    """On 127.0.0.1; 0 in a plan that is made only to be looked at."""

    def __str__(self) -> str:
        return str(self.unix) if self.unix is not None else f"127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class RelaySite:
    """What our own relay's driver needs besides."""

    address: RelayAddress
    key: Ed25519PrivateKey = field(repr=False)
    enrol_token: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What this machine and this ``open`` offer an engine."""

    name: str
    """The tunnel's name."""
    directory: Path
    """0700, of this tunnel alone, gone with it; its path is short enough for sockets."""
    commitment: bytes = b""
    """Hash of the guard in front of the origin."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the user set for this engine (``--engine-option``, ``--via``). Never a secret: those
    are named by file or variable."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The caller's variables; a driver passes on to its program what it names in its plan."""
    detection: Detection | None = None
    """What ``detect`` found; None when nobody has looked."""
    door: DoorAddress = DoorAddress()
    relay: RelaySite | None = None

    def at(self, door: DoorAddress) -> Site:
        """The same site with its door open."""
        return replace(self, door=door)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file to write below ``Site.directory`` before the program starts."""

    path: Path
    content: bytes = field(repr=False)
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Vouching:
    """How an engine tells a visitor's address so that it may be believed.

    Only over a Unix socket, or beside a header whose secret value the plan gave to the engine.
    """

    header: bytes
    """Lower-case name of the field with the address."""
    takes_last: bool = False
    """Of a list, the last entry is the engine's own; else the field must hold one address."""
    secret_header: bytes = b""
    """Lower-case name of the field with the secret; needed on a loopback port."""
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How one engine would carry one tunnel."""

    engine: str
    visitors: str
    """One sentence: what a visitor will get, and where."""
    argv: tuple[str, ...] = ()
    """The program and its words; () when no program is run. Never a secret."""
    files: tuple[PlannedFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables added to the minimal ones."""
    calls: tuple[str, ...] = ()
    """Calls to a vendor's API, ``METHOD URL`` each."""
    url: str = ""
    """The public URL where it is known beforehand."""
    secure: bool = False
    """Visitors come over TLS, which the engine ends."""
    passthrough: bool = False
    """Visitors' own TLS arrives unopened, and the gatehouse ends it."""
    door: DoorKind = DoorKind.PORT
    vouching: Vouching | None = None
    """None: nobody vouches for visitors' addresses, which are then empty."""
    secrets: tuple[Secret, ...] = ()
    """What must never be told: taken out of every line that is logged or shown."""
    limits: tuple[str, ...] = ()
    """What will not be as the user might expect, a sentence each."""


@dataclass(frozen=True, slots=True)
class ForeignTunnel:
    """A tunnel of some engine on this machine that we did not open."""

    engine: str
    where: str
    """What identifies it: ``pid 812``, an address, a vendor's id."""
    exposes: str
    """What it makes reachable, as far as it can be seen."""
    public: str = ""
    """Where it is reachable, as far as it can be seen."""
    owner: str = ""
    pid: int = 0
    """Of the program that carries it; 0 where none does, or it is not known."""
    since: float = 0.0
    """When that program was started, unix seconds; 0 where it is not known."""
    risks: tuple[str, ...] = ()
    """What of it should worry somebody, a sentence each."""
