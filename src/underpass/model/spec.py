"""One declared exposure: origin, name, kind, gates, lease, engines; and its one line of text.

    3001
    localhost:3001 --name tools --gate bearer
    mcp+http://localhost:3001/mcp --name tools --for 2h --owner alice --purpose 'demo for Bob'
    tcp://127.0.0.1:5432 --gate ip:203.0.113.0/24 --for 2h --health tcp
    unix:///run/app.sock --public --for 30m
    3001 --gate basic:alice --gate ip:10.0.0.0/8 --idle 15m --engine relay
    3001 --host-header origin --health-path /healthz --cors https://app.example.com
    3001 --tls passthrough
    3001 --peer loopback
    3001 --mcp --name tools
    3001 --gate bearer --gate '/hooks/*=signature:github' --gate /healthz=open
    'mcp+stdio:uvx some-server' --pass-env SOME_KEY

The words are those of ``underpass open``. ``parse_spec`` reads a line, ``str`` writes it back in
this order and leaves defaults out; what ``str`` writes reads back as the same spec. The grammar
of origins is in ``origin``, that of gates in ``gates`` and ``gate_rules``, that of durations in
``duration``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from underpass.model.duration import LONGEST, format_duration, parse_duration
from underpass.model.errors_spec import OptionInvalid, SpecUnreadable
from underpass.model.gate_rules import GateRule, parse_gates
from underpass.model.gates import GateSpec, parse_gate
from underpass.model.origin import Kind, Origin, as_mcp, parse_origin
from underpass.model.rules import PUBLIC_LIMIT, check_spec, is_name

__all__ = [
    "DEFAULT_LEASE",
    "LONGEST",
    "PUBLIC_LIMIT",
    "GateRule",
    "GateSpec",
    "Kind",
    "LeaseTerms",
    "Origin",
    "TunnelSpec",
    "format_duration",
    "is_name",
    "parse_duration",
    "parse_gate",
    "parse_gates",
    "parse_origin",
    "parse_spec",
]

DEFAULT_LEASE: Final = 8 * 3_600
"""Eight hours: a working day (DESIGN.md, lease)."""

_SETTLED_LATER: Any = None
# Defaults that depend on the origin: __post_init__ settles them, so that no reader meets None.


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Who wants the exposure, why, and for how long."""

    owner: str = ""
    """Who answers for it; the opener fills in the login name when nothing is said."""
    purpose: str = ""
    seconds: int = DEFAULT_LEASE
    """From opening to the hard end."""
    idle_seconds: int | None = None
    """Close after so long without a visitor; None: never for that reason."""


@dataclass(frozen=True, slots=True, repr=False)
class TunnelSpec:
    """What the user declared. Making one settles defaults; ``validate`` judges it.

    A spec without gates, rules and ``public`` does not exist: it gets a bearer gate.
    """

    origin: Origin
    kind: Kind = _SETTLED_LATER
    """Taken from the origin when not given."""
    name: str = ""
    """First label of the public host name; "" asks the relay for a random one."""
    gates: tuple[GateSpec, ...] = ()
    """All of them must be passed, on every path that no rule names."""
    lease: LeaseTerms = field(default_factory=LeaseTerms)
    engines: tuple[str, ...] = ("relay",)
    """Engines to try, best first."""
    public: bool = False
    """No gate but those of rules: everybody may come. Only for a short time (``PUBLIC_LIMIT``)."""
    host_header: Literal["preserve", "origin"] = _SETTLED_LATER
    """What the origin sees as Host: the visitor's, or the origin's own address. When not given:
    ``origin`` for mcp, since stock MCP servers refuse foreign hosts; else ``preserve``."""
    health_path: str | None = None
    """Path that a proof asks the origin for; None: a connection is enough."""
    cors: tuple[str, ...] = ()
    """Web origins whose preflights are answered."""
    tls: Literal["terminate", "passthrough"] = "terminate"
    """Where the visitor's TLS ends: at the relay, or here."""
    health: Literal["proof", "tcp"] = "proof"
    """``tcp``: periodic proofs of a tcp tunnel connect to the origin too."""
    rules: tuple[GateRule, ...] = ()
    """Gates for some paths, and choices between gates. What no rule names is judged by ``gates``;
    without any it is open in ``public``, else refused."""
    peer: Literal["machine", "loopback"] = _SETTLED_LATER
    """From where an origin on loopback sees visitors come: another address of this machine, or
    loopback, as its own programs do. When not given: ``loopback`` for a tcp tunnel that is met by
    ``underpass reach`` alone, like a service behind ``ssh -L``; else ``machine``, so that what
    trusts its own machine does not trust visitors."""
    pass_env: tuple[str, ...] = ()
    """Names of variables that a server behind ``mcp+stdio:`` gets besides the few that all get."""

    def __post_init__(self) -> None:
        settle = object.__setattr__
        if self.kind is None:
            settle(self, "kind", self.origin.kind)
        if self.host_header is None:
            settle(self, "host_header", _default_host_header(self.kind))
        if not self.gates and not self.rules and not self.public:
            settle(self, "gates", (GateSpec("bearer"),))
        if self.peer is None:
            settle(self, "peer", self._default_peer)

    def validate(self, *, public_limit: int = PUBLIC_LIMIT) -> None:
        """Raise the first ``Misuse`` or ``Refused`` found; policy may give another limit."""
        check_spec(self, public_limit=public_limit)

    @property
    def exposure(self) -> Literal["gated", "open"]:
        """For tcp: ``open`` gets a public port; ``gated`` is met by ``underpass reach`` only."""
        is_open = self.public or any(gate.kind == "ip" for gate in self.gates)
        return "open" if is_open else "gated"

    @property
    def _default_peer(self) -> Literal["machine", "loopback"]:
        is_reached = self.kind is Kind.TCP and self.exposure == "gated"
        return "loopback" if is_reached else "machine"

    @property
    def every_gate(self) -> tuple[GateSpec, ...]:
        """All gates, those of rules too, each once."""
        ruled = (gate for rule in self.rules for gate in rule.gates)
        return tuple(dict.fromkeys((*self.gates, *ruled)))

    @property
    def gate_texts(self) -> tuple[str, ...]:
        """Gates and rules as written; empty when everybody may come everywhere."""
        return (*map(str, self.gates), *map(str, self.rules))

    @property
    def shown_gates(self) -> tuple[str, ...]:
        """What a status says of them: with ``public``, that all but the rules' paths is."""
        return ("public", *self.gate_texts) if self.public and self.rules else self.gate_texts

    @property
    def cidrs(self) -> tuple[str, ...]:
        """Networks without which nothing of the tunnel can be had, for the relay's coarse rule;
        empty: anybody may have to be let through to the gatehouse."""
        if self.rules:
            return ()
        return tuple(cidr for gate in self.gates for cidr in gate.cidrs)

    def words(self) -> tuple[str, ...]:
        """The words after ``underpass open`` that declare this tunnel; defaults left out."""
        lease, words = self.lease, [self.origin.text]

        def say(option: str, value: str, default: str = "") -> None:
            if value != default:
                words.extend((option, value))

        say("--name", self.name)
        if self.public or self.gate_texts != ("bearer",):
            words.extend(word for text in self.gate_texts for word in ("--gate", text))
        if self.public:
            words.append("--public")
        say("--for", format_duration(lease.seconds), format_duration(DEFAULT_LEASE))
        say("--idle", format_duration(lease.idle_seconds) if lease.idle_seconds else "")
        say("--owner", lease.owner)
        say("--purpose", lease.purpose)
        if self.engines != ("relay",):
            words.extend(word for engine in self.engines for word in ("--engine", engine))
        say("--host-header", self.host_header, _default_host_header(self.kind))
        say("--health-path", self.health_path or "")
        words.extend(word for origin in self.cors for word in ("--cors", origin))
        say("--tls", self.tls, "terminate")
        say("--health", self.health, "proof")
        say("--peer", self.peer, self._default_peer)
        words.extend(word for name in self.pass_env for word in ("--pass-env", name))
        return tuple(words)

    def __str__(self) -> str:
        return shlex.join(self.words())

    def __repr__(self) -> str:
        return f"TunnelSpec({str(self)!r})"


def _default_host_header(kind: Kind) -> Literal["preserve", "origin"]:
    return "origin" if kind is Kind.MCP else "preserve"


_ONCE: Final = {
    "--name": "name",
    "--for": "for",
    "--idle": "idle",
    "--owner": "owner",
    "--purpose": "purpose",
    "--host-header": "host_header",
    "--health-path": "health_path",
    "--tls": "tls",
    "--health": "health",
    "--peer": "peer",
}
_OFTEN: Final = ("--gate", "--engine", "--cors", "--pass-env")


def parse_spec(text: str) -> TunnelSpec:
    """Parse one line; raises the errors of the grammars and ``SpecUnreadable``. Not validated."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SpecUnreadable(why=str(error).lower()) from None
    if not words:
        raise SpecUnreadable(why="it is empty")
    origin, once, often, public = parse_origin(words[0]), dict[str, str](), [], False
    rest = iter(words[1:])
    for word in rest:
        if word == "--public":
            public = True
            continue
        if word == "--mcp":
            origin = as_mcp(origin)
            continue
        if word not in _ONCE and word not in _OFTEN:
            raise SpecUnreadable(why=f"unknown word {word!r}")
        value = next(rest, None)
        if value is None:
            raise SpecUnreadable(why=f"{word} needs a value")
        if word in _OFTEN:
            often.append((word, value))
        elif once.setdefault(_ONCE[word], value) is not value:
            raise SpecUnreadable(why=f"{word} stands there twice")
    return _assemble(origin, once, often, public)


def _assemble(
    origin: Origin, once: dict[str, str], often: list[tuple[str, str]], public: bool
) -> TunnelSpec:
    def among(key: str, *choices: str) -> str:
        value = once.get(key, choices[0])
        if value not in choices:
            why = "it is one of " + ", ".join(choices)
            raise OptionInvalid(option="--" + key.replace("_", "-"), value=value, why=why)
        return value

    gates, rules = parse_gates(value for word, value in often if word == "--gate")
    default_host = _default_host_header(origin.kind)
    other_host = "preserve" if default_host == "origin" else "origin"
    return TunnelSpec(
        origin,
        origin.kind,
        once.get("name", ""),
        gates,
        LeaseTerms(
            once.get("owner", ""),
            once.get("purpose", ""),
            parse_duration(once["for"]) if "for" in once else DEFAULT_LEASE,
            parse_duration(once["idle"]) if "idle" in once else None,
        ),
        tuple(value for word, value in often if word == "--engine") or ("relay",),
        public,
        cast(Literal["preserve", "origin"], among("host_header", default_host, other_host)),
        once.get("health_path"),
        tuple(value for word, value in often if word == "--cors"),
        cast(Literal["terminate", "passthrough"], among("tls", "terminate", "passthrough")),
        cast(Literal["proof", "tcp"], among("health", "proof", "tcp")),
        rules,
        cast(Any, among("peer", "machine", "loopback") if "peer" in once else _SETTLED_LATER),
        tuple(value for word, value in often if word == "--pass-env"),
    )
