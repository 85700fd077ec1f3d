"""Errors that only the API and its client raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from underpass.model.errors import Defect, Misuse, PeerFault, Setup, UnderpassError


class Answered(UnderpassError):
    """An error that the process keeping the tunnel answered with, word for word.

    The class has no code and is in no table: an instance has the code, sentence, hint and exit
    code of the original.
    """

    def __init__(self, facts: Mapping[str, object]) -> None:
        exit_code = facts.get("exit_code")
        vars(self).update(
            code=str(facts.get("code", "")),
            retryable=bool(facts.get("retryable", False)),
            exit_code=exit_code if isinstance(exit_code, int) and 0 < exit_code < 128 else 1,
        )
        self._message = str(facts.get("message", ""))
        self._hint = facts.get("hint")

    @property
    def message(self) -> str:
        return self._message

    @property
    def hint(self) -> str | None:
        return None if self._hint is None else str(self._hint)


@dataclass(eq=False)
class ApiMisspoken(PeerFault):
    """The socket answered with something that is not our API."""

    socket: str
    what: str

    code = "api-misspoken"
    sentence = "cannot read the answer from {socket}: {what}"
    hint_text = "is another version of underpass serving it? end that process and open again"


@dataclass(eq=False)
class SocketPathTooLong(Setup):
    """The operating system limits the paths of Unix sockets to about a hundred bytes."""

    path: str
    limit: int

    code = "socket-path-too-long"
    sentence = "cannot serve the API at {path}: a socket's path has at most {limit} bytes"
    hint_text = "set UNDERPASS_RUNTIME_DIR to a shorter path"


@dataclass(eq=False)
class NameAmbiguous(Misuse):
    """Two open tunnels of different relays share a name."""

    name: str
    urls: str

    code = "name-ambiguous"
    sentence = "cannot tell which tunnel {name} means: there are {urls}"
    hint_text = "give the URL instead of the name"
    exit_code = 9


@dataclass(eq=False)
class RequestMalformed(Misuse):
    """A caller of the API sent what it cannot read."""

    why: str

    code = "request-malformed"
    sentence = "cannot read the request to the API: {why}"
    hint_text = "are both ends the same version of underpass?"


@dataclass(eq=False)
class ApiFailed(Defect):
    """Something was raised in the process that keeps the tunnel, and nobody translated it."""

    request: str
    what: str

    code = "api-failed"
    sentence = "cannot answer {request}: {what} in the process that keeps the tunnel"
    hint_text = "this is a bug of underpass: please report it with what that process logged"
