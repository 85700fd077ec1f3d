"""What is needed: the facts that advice is about, as the asker knows them.

Every field but the first three is a constraint that is off by default; saying one more never adds
an answer, it only takes answers away (or changes their order).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from underpass.model.origin import Origin

HOUR = 3_600
DAY = 86_400


class Task(StrEnum):
    """What is to be done. The last nine are no work for a tunnel; see ``boundaries``."""

    EXPOSE = "expose"
    """A service here, for others."""
    REACH = "reach"
    """A service elsewhere, for programs here."""
    FLEET = "fleet"
    """Several machines that find one another."""
    LOAD_BALANCING = "load-balancing"
    CERTIFICATES = "certificates"
    CONTAINERS = "container-networking"
    FIREWALL = "firewall"
    DNS = "dns"
    DISCOVERY = "service-discovery"
    FILES = "file-sharing"
    MEDIA = "media-streaming"
    ROUTING = "routing"


class Traffic(StrEnum):
    """What passes."""

    HTTP = "http"
    MCP = "mcp"
    TCP = "tcp"
    UDP = "udp"


class Audience(StrEnum):
    """Who can dial the address at all, gates aside."""

    PUBLIC = "public"
    PRIVATE = "private"


class Visitor(StrEnum):
    """The kind of visitor, which decides what gate it can pass and what it can install."""

    BROWSER = "browser"
    """A person with a browser."""
    PROGRAM = "program"
    """A program whose requests somebody writes: it can send a header or run a helper."""
    WEBHOOK = "webhook"
    """A provider's server: HTTPS, no login, nothing installed."""
    HOSTED_MCP = "hosted-mcp"
    """An MCP client in a vendor's cloud: port 443, trusted certificate, OAuth or nothing."""
    LOCAL_MCP = "local-mcp"
    """An MCP client on somebody's machine: an address and a header."""
    OWN_MACHINE = "own-machine"
    """A machine on which you may install software."""


class Auth(StrEnum):
    """How a visitor proves who it is."""

    NONE = "none"
    """Not at all, and that is meant."""
    TOKEN = "token"
    BASIC = "basic"
    SSO = "sso"
    """A login: for MCP clients and programs the walk of OAuth, for people a page."""
    IP = "ip"
    LINK = "link"
    SIGNATURE = "signature"
    """The provider signs what it sends."""
    JWT = "jwt"
    """A token that some issuer made for this audience."""
    CERTIFICATE = "certificate"
    """A client certificate."""
    KEYS = "keys"
    """Keys of SSH or of a private network."""


@dataclass(frozen=True, slots=True)
class Names:
    """What commands are filled in with; what is not said stays a word in capitals."""

    origin: Origin | None = None
    hostname: str = ""
    """The public host name wanted."""
    via: str = ""
    """``user@host`` of a server with SSH."""
    relay: str = ""
    """URL of a relay of yours."""


@dataclass(frozen=True, slots=True)
class Need:
    """One need."""

    task: Task = Task.EXPOSE
    traffic: Traffic = Traffic.HTTP
    audience: Audience = Audience.PUBLIC
    """Who may dial; not looked at when reaching a service elsewhere."""
    seconds: int | None = 8 * HOUR
    """How long; None: until further notice."""
    visitor: Visitor | None = None
    auth: Auth | None = None
    """None: not said, so every way is weighed, and those without a gate are told to be open."""
    own_domain: bool = False
    stable_name: bool = False
    streaming: bool = False
    """Answers that must arrive as they are produced: SSE, tokens, long WebSockets."""
    silence_seconds: int = 0
    """The longest time an answer says nothing before its first byte."""
    payload_bytes: int = 0
    """The largest single body."""
    monthly_bytes: int = 0
    monthly_requests: int = 0
    machines: int = 1
    database: bool = False
    no_third_party: bool = False
    inspect: bool = False
    """Requests are to be looked at and replayed."""
    no_install: bool = False
    no_signup: bool = False
    free: bool = False
    demo: bool = False
    """To be shown, not to be relied on."""
    persistent: bool = False
    """It must come back by itself after sleep, a lost link or a restart of the far end."""
    whole_network: bool = False
    """Every port of the machines, not a service or two."""
    resumable: bool = False
    """Exchanges in progress must outlive a lost link."""
    unattended: bool = False
    """Nobody is there to log in (CI, a service at boot): the steps use keys and token files."""
    names: Names = field(default_factory=Names)

    @property
    def is_quick(self) -> bool:
        """Whether it is over within the hour."""
        return self.seconds is not None and self.seconds <= HOUR

    @property
    def is_lasting(self) -> bool:
        """Whether it is to stay for more than a day."""
        return self.seconds is None or self.seconds > DAY

    @property
    def is_web(self) -> bool:
        """Whether it is HTTP of some kind."""
        return self.traffic in (Traffic.HTTP, Traffic.MCP)
