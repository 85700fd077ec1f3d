"""What a line of the agent's log says; the program around the SDK writes the same lines. Pure.

One JSON object a line. Only what is logged as an error may refuse, and only by number or by what
every network says: the vendor's own sentences are not passed on.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from underpass.drivers.ngrok.faults import explain, find_number
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal

MAX_LINE: Final = 16 * 1024

SESSION_LOST: Final = "session-lost"
STOPPED: Final = "stopped-from-afar"
SILENT: Final = "far-end-silent"

_STARTED: Final = ("started tunnel", "started endpoint")
_ERRORS: Final = ("eror", "error", "crit", "fatal")
_LAST_WORDS: Final = ("command failed", "terminating with error", "failed to reconnect session")
_SESSION: Final = re.compile(r'"msg": ?"client session established"')
_URL: Final = re.compile(
    r"(?P<scheme>https?|tcp|tls)://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)

_TRANSPORT: Final = (
    (
        # The SDK says no more than "tls handshake error".
        ("x509:", "certificate", "tls handshake"),
        Refusal(
            "far-end-untrusted",
            "what answers in the place of ngrok's service shows a certificate of somebody else",
            "something between may open TLS; name its authority: ngrok.server-ca=FILE",
            fatal=True,
        ),
    ),
    (
        ("tls: first record",),
        Refusal(
            "far-end-strange",
            "what answers in the place of ngrok's service does not speak TLS",
            "check ngrok.server, and what stands between",
        ),
    ),
    (
        ("address already in use",),
        Refusal("port-taken", "ngrok's agent finds its local port taken", "try again"),
    ),
    (
        ("connection reset", "EOF", "broken pipe", "closed"),
        Refusal(
            "far-end-closed",
            "ngrok's service closed the connection",
            "try again later; if it stays so: ngrok diagnose",
        ),
    ),
    (
        ("refused", "no such host", "timeout", "timed out", "unreachable", "establish", "lookup"),
        Refusal(
            "far-end-unreachable",
            "ngrok's service does not answer",
            "check the network, and that nothing blocks connect.ngrok-agent.com:443",
        ),
    ),
)


def read_line(line: str) -> Observation | None:
    """See ``Driver.read``."""
    line = line[:MAX_LINE]
    if not line.startswith("{"):
        return _read_plain(line)
    try:
        facts = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    return _read_facts(facts) if isinstance(facts, dict) else None


def is_session(line: str) -> bool:
    """Whether the agent says that it has a session again, with all that it had carried. In its
    first session it says so before it asks for an address, which may still be refused."""
    return line.startswith("{") and _SESSION.search(line[:MAX_LINE]) is not None


def is_public_url(text: str) -> bool:
    """Whether ``text`` is an address that visitors can come to, and no more than that."""
    match = _URL.fullmatch(text)
    if match is None:
        return False
    port = int(match["port"] or 0)
    return port < 65_536 and (port > 0 or match["scheme"] != "tcp")


def as_visited(url: str) -> str:
    """A public URL as visitors write it: behind TLS that nobody opens on the way is HTTPS."""
    url = url.rstrip("/")
    return f"https{url.removeprefix('tls')}" if url.startswith("tls:") else url


def _read_plain(line: str) -> Observation | None:
    """Agents 3.x write their last error for people, too."""
    if not line.startswith("ERR"):
        return None
    number = find_number(line)
    return None if number is None else explain(number).refusal(number)


def _read_facts(facts: dict[str, Any]) -> Observation | None:
    level, words = str(facts.get("lvl", "")), str(facts.get("msg", ""))
    if words in _STARTED:
        url = str(facts.get("url", ""))
        return Carrying(as_visited(url)) if is_public_url(url) else None
    if words == "received remote stop":
        return _stopped()
    if level not in _ERRORS:
        return None
    error = str(facts.get("err", ""))
    number = find_number(error)
    if number is not None:
        return explain(number).refusal(number)
    if words == "far end silent":
        return Refusal(SILENT, "ngrok's service does not answer heartbeats any more")
    if words == "stopped from afar":
        return _stopped()
    if words.startswith("session closed"):
        return Faltering(SESSION_LOST, "the agent's session with ngrok's service is gone")
    if words in _LAST_WORDS:
        for marks, refusal in _TRANSPORT:
            if any(mark in error for mark in marks):
                return refusal
    return None


def _stopped() -> Refusal:
    return Refusal(
        STOPPED,
        "somebody with rights in the ngrok account had the agent stopped",
        "ask who did; underpass starts it again until the tunnel is closed",
    )
