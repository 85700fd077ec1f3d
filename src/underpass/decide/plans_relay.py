"""Steps of our own engine: these are commands of this program, and it proves what they open."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import DAY, Auth, Need
from underpass.decide.steps import Plan, Step, Target, addresses
from underpass.model.duration import format_duration

LONGEST: Final = 366 * DAY
"""The longest lease; a longer need is a renewal."""

_SERVER: Final = "on your server"
_GATES: Final = {
    Auth.TOKEN: ("--gate", "bearer"),
    Auth.BASIC: ("--gate", "basic"),
    Auth.LINK: ("--gate", "link"),
}


def _relay_url(target: Target) -> str:
    return target.names.relay or "https://RELAY"


def _serve(target: Target, *more: str) -> tuple[Step, ...]:
    if target.names.relay:
        return ()
    words = ("underpass", "relay", "serve", "--domain", "RELAY", "--tls-cert", "cert.pem")
    return (
        Step(
            argv=(*words, "--tls-key", "key.pem", *more),
            where=_SERVER,
            note="once; take its enrol-token file here by a safe way",
        ),
    )


def _origin(need: Need, target: Target) -> str:
    if need.names.origin is not None:
        return str(need.names.origin)
    return f"{'mcp+http' if need.traffic == 'mcp' else need.traffic}://{target.address}"


def _open(need: Need, target: Target, *gate: str) -> tuple[str, ...]:
    seconds = LONGEST if need.seconds is None else min(need.seconds, LONGEST)
    words = ("underpass", "open", _origin(need, target), "--name", target.label)
    return (*words, "--relay", _relay_url(target), *gate, "--for", format_duration(seconds))


def _gate(need: Need, default: tuple[str, ...]) -> tuple[str, ...]:
    if need.auth is Auth.NONE:
        return ("--public",)
    if need.auth is Auth.IP:
        return ("--gate", f"ip:{addresses(need)}")
    return default if need.auth is None else _GATES[need.auth]


def _close(target: Target) -> tuple[Step, ...]:
    return (Step(argv=("underpass", "close", target.label), note="or Ctrl-C where it was opened"),)


def relay(need: Need, target: Target) -> Plan:
    """HTTP and MCP by a relay."""
    opened = Step(
        argv=_open(need, target, *_gate(need, ("--gate", "bearer"))),
        note="the first time, with --enrol-token-file; prints the address once a proof has passed",
    )
    return Plan((*_serve(target), opened), _close(target))


def relay_tcp(need: Need, target: Target) -> Plan:
    """A public TCP port at a relay."""
    opened = Step(
        argv=_open(need, target, *_gate(need, ("--gate", f"ip:{addresses(need)}"))),
        note="the first time, with --enrol-token-file",
    )
    return Plan((*_serve(target, "--tcp-ports", "20000-20999"), opened), _close(target))


def relay_reach(need: Need, target: Target) -> Plan:
    """A TCP service without a public port, and the other end of it."""
    listen = ("--listen", f"127.0.0.1:{target.port if target.port != 'PORT' else '0'}")
    words = ("underpass", "reach", target.label, "--relay", _relay_url(target))
    return Plan(
        (
            *_serve(target),
            Step(
                argv=(*_open(need, target), "--token-file", "visitors-token"),
                where="beside the service",
                note="the first time, with --enrol-token-file",
            ),
            Step(
                argv=(*words, "--token-file", "visitors-token", *listen),
                where="where it is needed",
                note="with the token file brought there by a safe way",
            ),
        ),
        (
            Step(note="Ctrl-C ends `underpass reach`", where="where it is needed"),
            Step(argv=("underpass", "close", target.label), where="beside the service"),
        ),
    )


PLANS: Final = {"relay": relay, "relay-tcp": relay_tcp, "relay-reach": relay_reach}
