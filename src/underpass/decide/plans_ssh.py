"""Steps with plain ssh, and with those who sell a public address to it."""

from __future__ import annotations

import shlex
from typing import Final

from underpass.decide.need import Auth, Need, Traffic
from underpass.decide.steps import CTRL_C, Plan, Step, Target, addresses

ALIVE: Final = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3")
"""Ends within 15 x (3 + 1) s of a dead path."""

KEEP: Final = ("-o", "ExitOnForwardFailure=yes", *ALIVE)
"""Without the first, ssh goes on with no forward at all."""

_UNIT: Final = """\
[Unit]
Description=Tunnel to {address} by {via}
After=network-online.target

[Service]
Environment=AUTOSSH_GATETIME=0
ExecStart={command}
Restart=always
RestartSec=10

[Install]
WantedBy=default.target
"""


def _via(target: Target) -> str:
    return target.names.via or "USER@JUMPBOX"


def _port(via: str) -> tuple[tuple[str, ...], str]:
    # ssh wants the port of user@host:port as an option.
    host, colon, port = via.rpartition(":")
    return (("-p", port), host) if colon and port.isdigit() else ((), via)


def _forward(target: Target) -> tuple[str, ...]:
    port, via = _port(_via(target))
    there = target.socket or target.address
    return (*KEEP, *port, "-L", f"127.0.0.1:{target.port}:{there}", via)


def ssh_local(need: Need, target: Target) -> Plan:
    """One forward, in the foreground."""
    return Plan((Step(argv=("ssh", "-N", "-T", *_forward(target))),), (CTRL_C,))


def ssh_kept(need: Need, target: Target) -> Plan:
    """The same, restarted; as a user's service where it is to stay."""
    words = ("autossh", "-M", "0", "-N", "-T", "-o", "BatchMode=yes", *_forward(target))
    if need.seconds is not None:
        step = Step(argv=("env", "AUTOSSH_GATETIME=0", *words), note="keys without a prompt only")
        return Plan((step,), (CTRL_C,))
    name = "underpass-forward.service"
    text = _UNIT.format(
        address=target.address, via=_via(target), command=shlex.join(("/usr/bin/env", *words))
    )
    unit = Step(file=f"~/.config/systemd/user/{name}", text=text, mode=0o644)
    return Plan(
        (unit, Step(argv=("systemctl", "--user", "enable", "--now", name))),
        (
            Step(argv=("systemctl", "--user", "disable", "--now", name)),
            Step(note=f"delete ~/.config/systemd/user/{name}"),
        ),
    )


def ssh_remote(need: Need, target: Target) -> Plan:
    """A port on a server, on its loopback address only."""
    port, via = _port(target.names.via or "USER@SERVER")
    there = f"127.0.0.1:{target.port}:{target.address}"
    return Plan((Step(argv=("ssh", "-N", "-T", *KEEP, *port, "-R", there, via)),), (CTRL_C,))


def localhost_run(need: Need, target: Target) -> Plan:
    """Without -N: the address comes on the session's output."""
    words = ("ssh", "-T", *KEEP, "-R", f"80:{target.address}", "nokey@localhost.run")
    return Plan((Step(argv=words, note="the address is in the line with `tunneled`"),), (CTRL_C,))


def pinggy(need: Need, target: Target) -> Plan:
    """On port 443, which most networks let out."""
    user = "tcp@" if need.traffic is Traffic.TCP else ""
    words = ("ssh", "-p", "443", *KEEP, f"-R0:{target.address}")
    if need.auth is Auth.IP:
        return Plan(
            (Step(argv=(*words, "-t", f"{user}a.pinggy.io", f"w:{addresses(need)}")),), (CTRL_C,)
        )
    return Plan((Step(argv=(*words, f"{user}a.pinggy.io")),), (CTRL_C,))


PLANS: Final = {
    "ssh-local": ssh_local,
    "ssh-kept": ssh_kept,
    "ssh-remote": ssh_remote,
    "localhost-run": localhost_run,
    "pinggy": pinggy,
}
