"""What a line of bore's output says: pure. Wording as seen from 0.6.0 and read in 0.5.2."""

from __future__ import annotations

import re
from typing import Final

from underpass.drivers.observations import Carrying, Observation, Refusal

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_LISTENING: Final = re.compile(r" bore_cli::client: listening at \S{1,255}:(\d{1,5})")

_ASK_FOR_ANOTHER: Final = "ask for another: --engine-option bore.port=PORT, or 0 for any"

_REFUSALS: Final[tuple[tuple[str, str, str, str, bool], ...]] = (
    # how the error begins; code; words for people; hint; whether trying again is in vain
    (
        "server error: invalid secret",
        "credential-refused",
        "the bore server refused our secret",
        "set BORE_SECRET to the secret that the server was started with",
        True,
    ),
    (
        "server requires authentication, but no client secret was provided",
        "credential-missing",
        "the bore server wants a secret, and none is set",
        "set BORE_SECRET to the secret that the server was started with",
        True,
    ),
    (
        "server error: server requires secret",
        "credential-missing",
        "the bore server wants a secret, and none is set",
        "set BORE_SECRET to the secret that the server was started with",
        True,
    ),
    (
        "expected authentication challenge",
        "credential-unwanted",
        "the bore server wants no secret, and one is set",
        "unset BORE_SECRET, or start the server with it",
        True,
    ),
    (
        "server error: port already in use",
        "port-taken",
        "the port is taken at the bore server, perhaps by our own ghost",
        _ASK_FOR_ANOTHER,
        False,
    ),
    (
        "server error: client port number not in allowed range",
        "port-out-of-range",
        "the bore server does not give ports in that range",
        f"{_ASK_FOR_ANOTHER}; its range is --min-port to --max-port",
        True,
    ),
    (
        "server error: permission denied",
        "port-forbidden",
        "the bore server may not open that port",
        f"{_ASK_FOR_ANOTHER}; below 1024 it needs rights",
        True,
    ),
    (
        "server error: failed to bind to port",
        "port-refused",
        "the bore server cannot open that port",
        _ASK_FOR_ANOTHER,
        False,
    ),
    (
        "server error: failed to find an available port",
        "ports-exhausted",
        "the bore server has no port left",
        "try again later, or at another server",
        False,
    ),
    (
        "could not connect to ",
        "far-end-unreachable",
        "the bore server does not answer",
        "check its name, that it runs, and that nothing blocks its port 7835",
        False,
    ),
    (
        "unexpected EOF",
        "far-end-closed",
        "the bore server closed the connection",
        "check that a bore server answers at its port 7835",
        False,
    ),
    (
        "timed out waiting for heartbeat",
        "far-end-silent",
        "the bore server does not answer any more",
        "check that it runs, and the network between",
        False,
    ),
    (
        "timed out waiting for initial message",
        "far-end-silent",
        "what answers at port 7835 does not speak as a bore server does",
        "check that it is one, in a version like ours, and whether it wants a secret",
        False,
    ),
    (
        "deadline has elapsed",
        "far-end-silent",
        "what answers at port 7835 does not speak as a bore server does",
        "check that it is one, in a version like ours, and whether it wants a secret",
        False,
    ),
    (
        "unexpected initial non-hello message",
        "far-end-strange",
        "what answers at port 7835 does not speak as a bore server does",
        "check that it is one, in a version like ours",
        False,
    ),
)

MAX_LINE: Final = 2_000


def read_line(line: str) -> Observation | None:
    """See ``Driver.read``. Only bore's own last word is an error: what befalls one visitor is a
    warning, and its text may be the same."""
    line = _ESCAPES.sub("", line[:MAX_LINE])
    if match := _LISTENING.search(line):
        port = int(match[1])
        return Carrying(port=port) if 0 < port < 65_536 else None
    if not line.startswith("Error: "):
        return None
    error = line.removeprefix("Error: ")
    for beginning, code, words, hint, fatal in _REFUSALS:
        if error.startswith(beginning):
            return Refusal(code, words, hint, fatal=fatal)
    return None
