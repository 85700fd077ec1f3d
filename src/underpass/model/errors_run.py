"""What can go wrong with an opened tunnel, its origin, its proof and this machine."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused, Setup, Unreachable
from underpass.model.nearest import meant


@dataclass(eq=False)
class NoSuchTunnel(Misuse):
    """No tunnel of that name is open here."""

    name: str
    near: str = ""
    """One that is there, if its name is much like this."""

    code = "no-such-tunnel"
    exit_code = 3
    sentence = "cannot find a tunnel named {name!r}"
    hint_text = "see what is open: underpass list"

    @property
    def hint(self) -> str:
        """See ``UnderpassError``."""
        return meant(self.near, self.hint_text)


@dataclass(eq=False)
class OriginRefused(Unreachable):
    """The origin does not take connections."""

    origin: str
    why: str = "connection refused"

    code = "origin-refused"
    exit_code = 5
    sentence = "cannot reach the origin {origin}: {why}"
    hint_text = "start the service, or check where it listens: ss -ltnp"


@dataclass(eq=False)
class OriginSpeaksTls(Misuse):
    """The origin answers TLS where plain HTTP was declared."""

    origin: str

    code = "origin-speaks-tls"
    exit_code = 5
    sentence = "cannot speak HTTP with {origin}: it answers with TLS"
    hint_text = "expose the service's plain port, or its TLS as bytes: tcp://{origin}"


@dataclass(eq=False)
class OwnControlPort(Refused):
    """The origin is one of our own doors: who reached it could command us."""

    origin: str
    what: str

    code = "own-control-port"
    sentence = "cannot expose {origin}: it is {what} of underpass itself"
    hint_text = "name the port of your own service"


@dataclass(eq=False)
class ProofFailed(Unreachable):
    """No proof came back, and this layer is at fault."""

    name: str
    layer: str
    detail: str

    code = "proof-failed"
    exit_code = 5
    sentence = "cannot prove {name!r}: the layer {layer} is at fault ({detail})"
    hint_text = "watch it: underpass watch {name}"


@dataclass(eq=False)
class TimedOut(Unreachable):
    """Something took longer than it was given."""

    what: str
    seconds: float

    code = "timed-out"
    exit_code = 8
    sentence = "cannot finish {what} within {seconds:g} s"
    hint_text = "try again, or give it longer with --timeout"


@dataclass(eq=False)
class DaemonUnreachable(Unreachable):
    """The process that serves a tunnel does not answer on its socket."""

    socket: str

    code = "daemon-unreachable"
    exit_code = 6
    sentence = "cannot reach the process behind {socket}"
    hint_text = "it may have been killed; if it has, remove the socket: rm {socket}"


@dataclass(eq=False)
class LooseMode(Setup):
    """A file or directory with secrets can be read or changed by others."""

    path: str
    mode: str
    """Octal, as chmod takes it."""
    wanted: str

    code = "loose-mode"
    sentence = "cannot trust {path}: its mode {mode} lets others in"
    hint_text = "chmod {wanted} {path}"


@dataclass(eq=False)
class ForeignOwner(Setup):
    """A file or directory with secrets belongs to somebody else."""

    path: str
    owner: int

    code = "foreign-owner"
    sentence = "cannot trust {path}: it belongs to user id {owner}"
    hint_text = "make it your own, or choose another place with UNDERPASS_STATE_DIR"


@dataclass(eq=False)
class NotAPlainFile(Setup):
    """Where a secret should be there is a link, a socket or a directory."""

    path: str
    what: str

    code = "not-a-plain-file"
    sentence = "cannot trust {path}: it is {what}"
    hint_text = "put a regular file there"
