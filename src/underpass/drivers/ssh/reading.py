"""What a line of ssh's stderr says: pure. Wording as seen from OpenSSH 9.2, stable since 7.6.

Kept loose where versions differ. Nothing here makes a tunnel live; that ssh calls a forward a
success is only the moment from which a proof is worth trying.
"""

from __future__ import annotations

import re
from typing import Final

from underpass.drivers.observations import Carrying, Observation, Refusal

_ALLOCATED: Final = re.compile(r"Allocated port (\d{1,5}) for remote forward to ")
_SUCCESS: Final = re.compile(
    r"debug1: remote forward success for: listen (?:\S+:)?(/\S+|\d+), connect "
)
_LOCAL: Final = re.compile(r"debug1: Entering interactive session")
"""With -L and -D there is no more to come: local listeners were opened before."""

_REFUSALS: Final[tuple[tuple[str, str, str, str, bool], ...]] = (
    # what to look for; code; words for people; hint; whether trying again is in vain
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key for \S+ has changed",
        "host-key-changed",
        "the far host shows another key than before: somebody may stand between",
        "ask its owner for the new fingerprint; never accept it unseen: ssh-keygen -R HOST",
        True,
    ),
    (
        r"Host key verification failed|No \S+ host key is known for",
        "host-key-unknown",
        "the far host's key is not known here",
        "compare its fingerprint, then: ssh-keyscan HOST >> ~/.ssh/known_hosts, "
        "or --engine-option ssh.trust=new",
        True,
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "credential-refused",
        "the far host refused our key",
        "check the user, and the key: ssh-add -l, or --engine-option ssh.identity=FILE",
        True,
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "key-file-loose",
        "others can read the private key's file, so ssh does not use it",
        "chmod 600 the key's file",
        False,
    ),
    (
        r"remote port forwarding failed for listen path (?P<at>\S+)",
        "port-taken",
        "the far host does not give us the socket {at}: something is there (perhaps left by us), "
        "its directory is missing or closed to us, or its sshd forbids forwarding",
        "remove it there; so that sshd does it: StreamLocalBindUnlink yes in its sshd_config",
        False,
    ),
    (
        r"remote port forwarding failed for listen port (?P<at>\S+)",
        "port-taken",
        "the far host does not give us port {at}: it is taken (perhaps by our own ghost), "
        "or its sshd forbids forwarding",
        "ask for any: --engine-option ssh.port=0; at the far host set AllowTcpForwarding yes "
        "and ClientAliveInterval 15 in sshd_config",
        False,
    ),
    (
        r"Could not request local forwarding|cannot listen to port",
        "local-port-taken",
        "the local port is taken",
        "choose another: --listen",
        False,
    ),
    (
        r"Could not resolve hostname (?P<at>\S+):",
        "name-not-found",
        "the host {at} cannot be found",
        "check the name; it may be an alias: --engine-option ssh.config=user",
        False,
    ),
    (
        r"connect to host (?P<at>\S+ port \d+): (?P<why>.+)",
        "far-end-unreachable",
        "the host {at} does not answer: {why}",
        "check that sshd runs there and no firewall stands between",
        False,
    ),
    (
        r"Timeout, server \S+ not responding",
        "far-end-silent",
        "the far host does not answer any more",
        "",
        False,
    ),
    (
        r"Connection (?:to|reset by|closed by) .*(?:closed|reset|port \d+)|kex_exchange_ident"
        r"|[Bb]roken pipe|Connection reset by peer|Connection timed out during banner"
        r"|stdio forwarding failed",
        "far-end-closed",
        "the far host closed the connection",
        "if it lasts: sshd may be restarting, or limits us (MaxStartups, fail2ban)",
        False,
    ),
    (
        r"(?:Bad configuration option|[Uu]nsupported option|keyword \S+ extra arguments)",
        "option-unknown",
        "this version of ssh does not know one of our options",
        "install OpenSSH 7.6 or newer",
        True,
    ),
    (
        r"too long for Unix domain socket|path \S+ too long",
        "path-too-long",
        "the path of a socket is too long",
        "choose a shorter directory: UNDERPASS_RUNTIME_DIR",
        True,
    ),
)
_COMPILED: Final = tuple(
    (re.compile(pattern), code, words, hint, fatal)
    for pattern, code, words, hint, fatal in _REFUSALS
)

MAX_LINE: Final = 2_000
# Longer lines are nobody's message; regular expressions are kept from them.


def read_line(line: str) -> Observation | None:
    """See ``Driver.read``."""
    line = line[:MAX_LINE].rstrip("\r")
    if match := _ALLOCATED.match(line):
        port = int(match[1])
        return Carrying(port=port) if 0 < port < 65_536 else None
    if match := _SUCCESS.match(line):
        return Carrying() if match[1] != "0" else None
    if line.startswith("debug"):
        return None
    for pattern, code, words, hint, fatal in _COMPILED:
        if match := pattern.search(line):
            facts = {name: _plain(text or "") for name, text in match.groupdict().items()}
            # autossh would go on asking for ever what is in vain.
            return Refusal(code, words.format(**facts), hint, fatal=fatal, lingers=fatal)
    return None


def read_local(line: str) -> Observation | None:
    """The same for forwards that listen here (-L, -D)."""
    if _LOCAL.match(line):
        return Carrying()
    if _ALLOCATED.match(line) or _SUCCESS.match(line):
        return None
    return read_line(line)


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)[:120]
