"""Steps with ssh: a far service made local, a port at a server, and those who sell an address."""

from __future__ import annotations

import shlex
from typing import Final

from underpass.decide.need import Auth, Need, Traffic
from underpass.decide.opening import closing, open_step, options, seen
from underpass.decide.steps import CTRL_C, Plan, Step, Target, addresses, is_bytes
from underpass.decide.way import GateOffer

ALIVE: Final = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3")
"""Ends within 15 x (3 + 1) s of a dead path."""

KEEP: Final = ("-o", "ExitOnForwardFailure=yes", *ALIVE)
"""Without the first, ssh goes on with no forward at all."""

_UNIT: Final = """\
[Unit]
Description=Tunnel to {address} by {via}
After=network-online.target

[Service]
ExecStart={command}
Restart=always
RestartSec=10

[Install]
WantedBy=default.target
"""
_UNIT_FILE: Final = "~/.config/systemd/user/underpass-forward.service"
_SERVICE: Final = "underpass-forward.service"


def _via(target: Target) -> str:
    return target.names.via or "USER@JUMPBOX"


def _port(via: str) -> tuple[tuple[str, ...], str]:
    # ssh wants the port of user@host:port as an option.
    host, colon, port = via.rpartition(":")
    return (("-p", port), host) if colon and port.isdigit() else ((), via)


def _reach(target: Target, *more: str) -> tuple[str, ...]:
    there = f"unix://{target.socket}" if target.socket else target.address
    # The same port here as there is what configurations expect; a socket has none.
    port = "0" if target.socket else target.port
    listen = ("--listen", f"127.0.0.1:{port}")
    return ("underpass", "reach", there, "--via", f"ssh:{_via(target)}", *listen, *more)


def _forward(target: Target) -> tuple[str, ...]:
    port, via = _port(_via(target))
    there = target.socket or target.address
    return (*KEEP, *port, "-L", f"127.0.0.1:{target.port}:{there}", via)


_GREETED: Final = (
    "ready once the service has greeted; `--expect any` for one that does not; "
    "`--ssh-config` prints the same for ~/.ssh/config"
)


def ssh_local(need: Need, target: Target, offer: GateOffer) -> Plan:
    """One forward, in the foreground, kept while the link comes and goes."""
    instead = (Step(argv=("ssh", "-N", "-T", *_forward(target))),)
    return Plan((Step(argv=_reach(target), note=_GREETED),), (CTRL_C,), instead)


def ssh_kept(need: Need, target: Target, offer: GateOffer) -> Plan:
    """The same as a user's service, which outlives logins and restarts of this machine, too."""
    autossh = ("autossh", "-M", "0", "-N", "-T", "-o", "BatchMode=yes", *_forward(target))
    text = _UNIT.format(
        address=target.address,
        via=_via(target),
        command=shlex.join(("/usr/bin/env", *_reach(target))),
    )
    unit = Step(file=_UNIT_FILE, text=text, mode=0o644)
    start = Step(
        argv=("systemctl", "--user", "enable", "--now", _SERVICE),
        note="keys without a prompt only; on a server, `loginctl enable-linger` once",
    )
    return Plan(
        (unit, start),
        (
            Step(argv=("systemctl", "--user", "disable", "--now", _SERVICE)),
            Step(note=f"delete {_UNIT_FILE}"),
        ),
        (Step(argv=("env", "AUTOSSH_GATETIME=0", *autossh)),),
    )


def ssh_remote(need: Need, target: Target, offer: GateOffer) -> Plan:
    """A port on a server, on its loopback address only."""
    via = target.names.via or "USER@SERVER"
    port, host = _port(via)
    there = f"127.0.0.1:{target.port}:{target.socket or target.address}"
    by_hand = Step(argv=("ssh", "-N", "-T", *KEEP, *port, "-R", there, host))
    if is_bytes(need):
        return Plan((by_hand,), (CTRL_C,), theirs=offer.theirs)
    engine = ("--via", f"ssh:{via}", *options(port=target.port if target.port != "PORT" else ""))
    opened = open_step(need, target, offer, engine)
    left = "the far sshd gives the port back"
    return Plan((opened, *seen(need, target)), closing(target, left), (by_hand,))


def localhost_run(need: Need, target: Target, offer: GateOffer) -> Plan:
    """By the user who needs no key."""
    engine = ("--via", "ssh-service:nokey@localhost.run", *options(trust="new"))
    opened = open_step(need, target, offer, engine, note=_LEARNT)
    words = ("ssh", "-T", *KEEP, "-R", f"80:{target.address}", "nokey@localhost.run")
    instead = (Step(argv=words, note="the address is in the line with `tunneled`"),)
    undo = closing(target, "nothing is left at localhost.run")
    return Plan((opened, *seen(need, target)), undo, instead)


_LEARNT: Final = "learns the service's host key once; prints the address once a proof has passed"


def pinggy(need: Need, target: Target, offer: GateOffer) -> Plan:
    """On port 443, which most networks let out."""
    if offer.theirs:
        user = "tcp@" if need.traffic is Traffic.TCP else ""
        words = ("ssh", "-p", "443", *KEEP, f"-R0:{target.address}")
        door: tuple[str, ...] = (f"{user}a.pinggy.io",)
        if offer.auth is Auth.IP:
            door = ("-t", *door, f"w:{addresses(need)}")
        return Plan((Step(argv=(*words, *door)),), (CTRL_C,), theirs=offer.theirs)
    via = ("--via", "ssh-service:a.pinggy.io:443")
    opened = open_step(need, target, offer, (*via, *options(port="0", trust="new")), note=_LEARNT)
    undo = closing(target, "nothing is left at pinggy")
    return Plan((opened, *seen(need, target)), undo)


PLANS: Final = {
    "ssh-local": ssh_local,
    "ssh-kept": ssh_kept,
    "ssh-remote": ssh_remote,
    "localhost-run": localhost_run,
    "pinggy": pinggy,
    "pinggy-tcp": pinggy,
}
