"""The configuration file that ssh gets instead of everybody's: pure.

It holds the way, host by host, as ``hop-0``, ``hop-1``, …, each reached through the one before, and
the rules that every link of ours keeps. So no host or user name ever stands in a command line, and
no forward of the user's own configuration is opened beside ours. What an alias of the user means is
asked of ``ssh -G`` and written out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from underpass.drivers.ssh.route import Hop
from underpass.drivers.ssh.settings import SshSettings

ALIVE_INTERVAL: Final = 3
ALIVE_COUNT: Final = 2
# Seen: a dead path ends ssh after interval x (count + 1) seconds. 9 s: link loss within 10.

RULES: Final = {
    "BatchMode": "yes",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": str(ALIVE_INTERVAL),
    "ServerAliveCountMax": str(ALIVE_COUNT),
    "TCPKeepAlive": "yes",
    "ConnectTimeout": "10",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
    "UpdateHostKeys": "no",
    "StreamLocalBindUnlink": "yes",
    "StreamLocalBindMask": "0177",
    "ControlPersist": "no",
}
"""What every link keeps; the first value of a keyword wins in ssh, and these come first."""

KEYWORDS: Final = {
    "hostname": "HostName",
    "port": "Port",
    "user": "User",
    "identityfile": "IdentityFile",
    "certificatefile": "CertificateFile",
    "identityagent": "IdentityAgent",
    "identitiesonly": "IdentitiesOnly",
    "hostkeyalias": "HostKeyAlias",
    "userknownhostsfile": "UserKnownHostsFile",
    "globalknownhostsfile": "GlobalKnownHostsFile",
    "proxyjump": "ProxyJump",
    "proxycommand": "ProxyCommand",
}
"""Keywords of ``ssh -G`` that are taken over for a host, and as people write them."""

Resolved = Sequence[tuple[str, str]]
"""What ``ssh -G`` says of one host: keyword and value, in order."""


def read_resolved(lines: Sequence[str]) -> list[tuple[str, str]]:
    """The keywords we take over, from the output of ``ssh -G``."""
    pairs = [line.partition(" ")[::2] for line in lines]
    return [(key, value) for key, value in pairs if key in KEYWORDS and value not in ("", "none")]


def read_control(lines: Sequence[str]) -> str:
    """The control socket that the output of ``ssh -G`` names; "" for none. It is never written
    into a configuration of ours, whose sockets are its own."""
    told = (line.removeprefix("controlpath ") for line in lines if line.startswith("controlpath "))
    return next((path for path in told if path.startswith("/") and path.isprintable()), "")


def write_configuration(
    settings: SshSettings, resolved: Mapping[int, Resolved] | None = None
) -> str:
    """The file's text. ``resolved`` says of each host by its index what the user's own
    configuration means by it; the spec's own words win over it."""
    sections = [
        _section(at, hop, settings, (resolved or {}).get(at, ()))
        for at, hop in enumerate(settings.hops)
    ]
    rules = "\n".join(f"  {key} {value}" for key, value in RULES.items())
    strict = "accept-new" if settings.trust == "new" else "yes"
    return "\n".join([*sections, "Host *", rules, f"  StrictHostKeyChecking {strict}", ""])


def last_hop(settings: SshSettings) -> str:
    """The host to give to ssh."""
    return f"hop-{len(settings.hops) - 1}"


def fragment(
    name: str,
    settings: SshSettings,
    forward: str,
    resolved: Mapping[int, Resolved] | None = None,
) -> str:
    """Sections for ``~/.ssh/config`` that do the same by hand: ``ssh -N NAME``. ``resolved`` says
    what the user's own configuration means by each host, without what ssh takes by itself: an alias
    means nothing behind HostName."""
    lines: list[str] = []
    before = ""
    for at, hop in enumerate(settings.hops):
        is_last = at == len(settings.hops) - 1
        alias = name if is_last else f"{name}-hop-{at}"
        given = _given(hop, settings)
        if before:
            given["proxyjump"] = before
        told = (resolved or {}).get(at, ())
        hostname = dict(told).get("hostname", hop.host)
        lines += [f"Host {alias}", f"  HostName {hostname}"]
        lines += [f"  {KEYWORDS[key]} {value}" for key, value in given.items()]
        lines += [f"  {KEYWORDS[key]} {value}" for key, value in _rest(at, given, told)]
        if settings.trust == "new":
            lines += ["  StrictHostKeyChecking accept-new"]
        if is_last:
            lines += [f"  {forward}"]
            kept = ("ExitOnForwardFailure", "ServerAliveInterval", "ServerAliveCountMax")
            lines += [f"  {key} {RULES[key]}" for key in kept]
        before = alias
    return "\n".join([*lines, ""])


def _section(at: int, hop: Hop, settings: SshSettings, resolved: Resolved) -> str:
    given = _given(hop, settings)
    if at > 0:
        given["proxyjump"] = f"hop-{at - 1}"
    lines = [f"Host hop-{at}", f"  hostname {dict(resolved).get('hostname', hop.host)}"]
    lines += [f"  {key} {value}" for key, value in given.items()]
    lines += [f"  {key} {value}" for key, value in _rest(at, given, resolved)]
    return "\n".join(lines)


def _given(hop: Hop, settings: SshSettings) -> dict[str, str]:
    """What the spec itself says of a host."""
    given: dict[str, str] = {}
    if hop.user:
        given["user"] = hop.user
    if hop.port:
        given["port"] = str(hop.port)
    if settings.identity:
        given["identityfile"] = f'"{settings.identity}"'
        given["identitiesonly"] = "yes"
    if settings.certificate:
        given["certificatefile"] = f'"{settings.certificate}"'
    if settings.known_hosts:
        given["userknownhostsfile"] = f'"{settings.known_hosts}"'
        given["globalknownhostsfile"] = "/dev/null"
    return given


def _rest(at: int, given: Mapping[str, str], resolved: Resolved) -> list[tuple[str, str]]:
    """What the user's own configuration says besides."""
    return [
        (key, value)
        for key, value in resolved
        if key not in given and key != "hostname" and not (at and key.startswith("proxy"))
    ]
