"""What can be wrong with a tunnel as the user asked for it. Raised by parsing and ``validate``."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused
from underpass.model.nearest import meant, nearest

_ORIGIN_HINT = (
    "write 3001, HOST:PORT, http://HOST:PORT/BASE, tcp://HOST:PORT, unix:///PATH, "
    "tcp+unix:///PATH, mcp+http://HOST:PORT/mcp, mcp+unix:///PATH or 'mcp+stdio:COMMAND …'"
)

_GATE_HINT = (
    "use bearer, basic[:USER], ip:CIDR[,CIDR...], link, mtls:file:CA, signature:SCHEME, "
    "jwt:ISSUER,aud=AUDIENCE or oauth; /path=GATE for one path, A+B for both, A|B for either"
)


@dataclass(eq=False)
class UnknownScheme(Misuse):
    """The origin begins with a scheme that is not in the grammar."""

    text: str
    scheme: str

    code = "unknown-scheme"
    sentence = "cannot read the origin {text!r}: unknown scheme {scheme!r}"
    hint_text = _ORIGIN_HINT


@dataclass(eq=False)
class OriginMalformed(Misuse):
    """The origin does not follow the grammar."""

    text: str
    why: str

    code = "origin-malformed"
    sentence = "cannot read the origin {text!r}: {why}"
    hint_text = _ORIGIN_HINT


@dataclass(eq=False)
class PortOutOfRange(Misuse):
    """A port that no service can have."""

    text: str
    port: str

    code = "port-out-of-range"
    sentence = "cannot use port {port} in {text!r}: ports are 1 to 65535"
    hint_text = "write the port your service listens on: ss -ltn shows them"


@dataclass(eq=False)
class OriginHasCredentials(Misuse):
    """User or password written into the origin; the text is not repeated, it holds a secret."""

    code = "origin-has-credentials"
    sentence = "cannot take an origin with a user or password in it"
    hint_text = (
        "leave out everything up to the @: credentials pass from visitor to origin untouched"
    )


@dataclass(eq=False)
class NameInvalid(Misuse):
    """The name cannot be the first label of a host name."""

    name: str
    why: str

    code = "name-invalid"
    sentence = "cannot use the name {name!r}: {why}"
    hint_text = "use 3 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"


@dataclass(eq=False)
class DurationInvalid(Misuse):
    """A duration that cannot be read, or is zero or endless."""

    text: str
    why: str

    code = "duration-invalid"
    sentence = "cannot read the duration {text!r}: {why}"
    hint_text = "write for example 90s, 45m, 2h or 1h30m"


@dataclass(eq=False)
class GateUnknown(Misuse):
    """No gate of that kind."""

    text: str
    near: str = ""
    """A kind of gate that is much like it."""

    code = "gate-unknown"
    sentence = "cannot find a gate {text!r}"
    hint_text = _GATE_HINT

    @property
    def hint(self) -> str:
        """See ``UnderpassError``."""
        return meant(self.near, self.hint_text)


@dataclass(eq=False)
class GateMalformed(Misuse):
    """The gate's argument does not follow its grammar."""

    text: str
    why: str

    code = "gate-malformed"
    sentence = "cannot read the gate {text!r}: {why}"
    hint_text = _GATE_HINT


@dataclass(eq=False)
class GateConflict(Misuse):
    """Gates, or a gate and ``--public``, that contradict each other."""

    first: str
    second: str
    why: str

    code = "gate-conflict"
    sentence = "cannot combine {first} with {second}: {why}"


@dataclass(eq=False)
class GateNeeds(Misuse):
    """A gate that can keep nobody out without another option."""

    gate: str
    needs: str
    why: str

    code = "gate-needs"
    sentence = "cannot use the gate {gate} without {needs}: {why}"
    hint_text = "add {needs}, or use another gate"


@dataclass(eq=False)
class GateUnsupported(Misuse):
    """A gate that this kind of tunnel cannot apply: refused when planning, never skipped."""

    gate: str
    kind: str

    code = "gate-unsupported"
    sentence = "cannot put the gate {gate} before a {kind} tunnel"
    hint_text = "a tcp tunnel takes bearer (visitors come by underpass reach) or ip:CIDR"


@dataclass(eq=False)
class EngineUnknown(Misuse):
    """No engine of that name, or the same one twice."""

    engine: str
    known: str

    code = "engine-unknown"
    sentence = "cannot use the engine {engine!r}"
    hint_text = "name each of these at most once: {known}"

    @property
    def hint(self) -> str:
        """See ``UnderpassError``."""
        known = self.known.split(", ")
        near = "" if self.engine in known else nearest(self.engine, known)
        return meant(near, self.hint_text.format(known=self.known))


@dataclass(eq=False)
class OptionInvalid(Misuse):
    """The value of an option does not follow its grammar."""

    option: str
    value: str
    why: str

    code = "option-invalid"
    sentence = "cannot use {option} {value!r}: {why}"
    hint_text = "the command's --help says what each option takes"


@dataclass(eq=False)
class OptionConflict(Misuse):
    """An option that means nothing for this kind of tunnel."""

    option: str
    kind: str
    why: str

    code = "option-conflict"
    sentence = "cannot use {option} with a {kind} tunnel: {why}"


@dataclass(eq=False)
class SpecUnreadable(Misuse):
    """The one-line text of a tunnel cannot be taken apart."""

    why: str

    code = "spec-unreadable"
    sentence = "cannot read the tunnel's text: {why}"
    hint_text = "write it like: mcp+http://localhost:3001/mcp --name tools --gate bearer --for 2h"


@dataclass(eq=False)
class PublicNeedsDuration(Refused):
    """``--public`` without an end soon enough."""

    asked: str
    limit: str

    code = "public-needs-duration"
    sentence = (
        "cannot open a tunnel to everybody for {asked}: --public needs --for of at most {limit}"
    )
    hint_text = "add --for {limit}, or use a gate instead of --public"
