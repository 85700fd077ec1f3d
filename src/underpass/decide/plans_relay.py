"""Steps of our own engine."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Need
from underpass.decide.opening import closing, open_step, seen
from underpass.decide.steps import Plan, Step, Target
from underpass.decide.way import GateOffer

_SERVER: Final = "on your server"
_FIRST: Final = "the first time, with --enrol-token-file"


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


def relay(need: Need, target: Target, offer: GateOffer) -> Plan:
    """HTTP and MCP by a relay."""
    note = f"{_FIRST}; prints the address once a proof has passed"
    opened = open_step(need, target, offer, ("--relay", _relay_url(target)), note=note)
    return Plan((*_serve(target), opened, *seen(need, target)), closing(target, _LEFT))


def relay_tcp(need: Need, target: Target, offer: GateOffer) -> Plan:
    """A public TCP port at a relay."""
    opened = open_step(need, target, offer, ("--relay", _relay_url(target)), note=_FIRST)
    return Plan((*_serve(target, "--tcp-ports", "20000-20999"), opened), closing(target, _LEFT))


_LEFT: Final = "the relay remembers whose name it is: `underpass relay names release` there"


def relay_reach(need: Need, target: Target, offer: GateOffer) -> Plan:
    """A TCP service without a public port, and the other end of it."""
    listen = ("--listen", f"127.0.0.1:{target.port if target.port != 'PORT' else '0'}")
    words = ("underpass", "reach", target.label, "--relay", _relay_url(target))
    opened = open_step(
        need,
        target,
        offer,
        ("--relay", _relay_url(target)),
        where="beside the service",
        note=_FIRST,
        more=("--token-file", "visitors-token"),
    )
    reached = Step(
        argv=(*words, "--token-file", "visitors-token", *listen),
        where="where it is needed",
        note="with the token file brought there by a safe way",
    )
    return Plan(
        (*_serve(target), opened, reached),
        (
            Step(note="Ctrl-C ends `underpass reach`", where="where it is needed"),
            Step(argv=("underpass", "close", target.label), where="beside the service"),
            Step(note="delete visitors-token where it was brought", where="where it is needed"),
        ),
    )


PLANS: Final = {"relay": relay, "relay-tcp": relay_tcp, "relay-reach": relay_reach}
