"""What belongs to one run of a command rather than to the tunnel itself.

A ``TunnelSpec`` says what is exposed, to whom and for how long; the records here say by which
relay, with which files, for how long to wait. They are what the command line, the configuration
files and a library caller hand to ``assembly``; nothing here is read from the environment or looked
up on disk, and no field holds a secret: secrets are named by the file that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OPEN_TIMEOUT_SECONDS = 30.0
"""How long ``open`` may take until its first proof has passed."""

ORIGIN_GRACE_SECONDS = 5.0
"""How long a program started by ``--run`` may take to end after it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAccess:
    """Which relay, and how it is recognised."""

    url: str | None = None
    """``https://relay.example.com`` or, on loopback only, ``http://127.0.0.1:8800``; None: the
    relay embedded in this process."""
    ca: Path | None = None
    """PEM file of the only authorities that may have signed the relay's certificate."""
    fingerprint: str | None = None
    """SHA-256 of the relay's leaf certificate, 64 hexadecimal digits, colons allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthOptions:
    """How people sign in at an ``oauth`` gate."""

    provider: str | None = None
    """Issuer of the outside OpenID Connect provider that says who they are; None: the tunnel's
    owner approves each by ``underpass approve``."""
    client_id: str | None = None
    client_secret_file: Path | None = None
    """What the provider knows us by."""
    allow: tuple[str, ...] = ()
    """Who may pass: e-mail addresses that the provider has verified, and ``sub:SUBJECT``."""
    changing_url: bool = False
    """The public URL may be another next time, which voids every sign-in and registration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How one ``open`` is carried out."""

    state_dir: Path
    """Where keys, tokens and ``state.db`` are kept (0700)."""
    runtime_dir: Path
    """Where the API socket of this ``open`` is served (0700)."""
    relay: RelayAccess = RelayAccess()
    enrol_token_file: Path | None = None
    """The relay's enrolment token, needed once for a key that the relay does not know."""
    engine_options: tuple[tuple[str, str], ...] = ()
    """``KEY`` for the first engine or ``ENGINE.KEY``, with its value; never a secret."""
    timeout: float = OPEN_TIMEOUT_SECONDS
    """Seconds until the first proof must have passed; afterwards ``open`` fails."""
    token_file: Path | None = None
    """Where the visitors' token is written (0600); None: below ``state_dir``."""
    show_token: bool = False
    """The visitors' token may be printed, in full, where results are printed."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """Certificate chain and key with which the connector ends visitors' TLS (passthrough)."""
    capture: str = "full"
    """What is recorded of exchanges: ``full``, ``heads`` or ``off``."""
    meter: bool = True
    """Exchanges are counted, and quotas held."""
    quota: tuple[str, ...] = ()
    """What the tunnel may carry: ``10GB/month``, ``600/minute``."""
    metrics_listen: tuple[str, int] | None = None
    """Where ``/metrics`` and ``/healthz`` are served, on loopback; None: nowhere."""
    run: tuple[str, ...] = ()
    """Command that serves the origin, started once the URL is known, ended with the tunnel."""
    tell_visitor: bool = False
    """The origin is told who passed the gate, as ``Underpass-Visitor``."""
    oauth: OAuthOptions = OAuthOptions()
    """For an ``oauth`` gate; the defaults for every other."""
    accept_danger: str = ""
    """Why the tunnel may open although preflight finds its origin dangerous; "": it may not."""
    json: bool = False
    """Results are printed as JSON Lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """What one enrolled key may hold at a time."""

    names: int = 32
    ports: int = 16
    streams: int = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """How one relay is served."""

    state_dir: Path
    """Where ``relay.db`` and the enrolment token are kept (0700)."""
    listen: tuple[str, int]
    """The one public port; port 0 takes a free one."""
    domain: str | None = None
    """Tunnels are named ``NAME.domain``, the relay itself ``domain``; None only with ``dev``."""
    dev: bool = False
    """Plain HTTP on loopback, one port a tunnel, no names in DNS needed."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    redirect_listen: tuple[str, int] | None = None
    """Where plain GET and HEAD are redirected to https; None: nowhere."""
    metrics_listen: tuple[str, int] | None = None
    """Where ``/healthz`` and ``/metrics`` are served; None: nowhere."""
    tcp_ports: range = range(0)
    """Public ports that tcp tunnels may be given."""
    proxy_protocol_from: tuple[str, ...] = ()
    """CIDRs of front proxies whose PROXY protocol header is believed."""
    front_fingerprints: tuple[str, ...] = ()
    """SHA-256 of leaf certificates that a front proxy serves in the relay's place."""
    authorised_keys: Path | None = None
    """File of public keys that need no enrolment token."""
    limits: RelayLimits = RelayLimits()
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ViaOptions:
    """How a service that a far host can reach is made local by a foreign engine."""

    target: str
    """As the far host names it: ``HOST:PORT``, ``unix:///path`` or ``socks``."""
    engine: str
    engine_options: tuple[tuple[str, str], ...]
    runtime_dir: Path
    listen: tuple[str, int] = ("127.0.0.1", 0)
    """Where local programs connect; port 0 takes a free one."""
    expect: str = ""
    """The service whose greeting proves it; "" for what usually listens at that port."""
    timeout: float = OPEN_TIMEOUT_SECONDS
    """Seconds until it must have greeted."""
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachOptions:
    """How a gated tcp tunnel is made local."""

    name: str
    """The tunnel's name at its relay."""
    relay: RelayAccess
    token_file: Path
    """The visitor's token; the file must be readable by its owner alone."""
    listen: tuple[str, int] = ("127.0.0.1", 0)
    """Where local programs connect; port 0 takes a free one."""
    json: bool = False
