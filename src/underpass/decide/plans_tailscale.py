"""Steps with Tailscale: join, then open inside the tailnet or by a funnel."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Auth, Need, Task, Traffic
from underpass.decide.opening import closing, open_step, options, seen
from underpass.decide.steps import HERE, Plan, Step, Target, is_bytes
from underpass.decide.way import GateOffer

_LEAVE: Final = Step(argv=("tailscale", "down"), note="leave the network, where it is not needed")
_KEY: Final = ("TS_AUTHKEY",)


def _where(need: Need) -> str:
    return "on each machine" if need.machines > 1 or need.task is not Task.EXPOSE else HERE


def _joined(need: Need) -> tuple[Step, ...]:
    key = ("--auth-key=file:tailscale-auth-key",) if need.unattended else ()
    return (
        Step(argv=("tailscale", "up", *key, "--timeout", "5m"), where=_where(need)),
        Step(
            argv=("tailscale", "status", "--json"),
            where=_where(need),
            note='joined when BackendState is "Running"',
        ),
    )


def _check(need: Need) -> tuple[Step, ...]:
    if need.machines == 1 and need.task is Task.EXPOSE:
        return ()
    mend = "exit code 5 when one does not answer; `underpass mesh recover` finds why and mends it"
    return (Step(argv=("underpass", "mesh", "check"), note=mend),)


def _opened(need: Need, target: Target, offer: GateOffer, **chosen: str) -> Plan:
    where = "beside the service" if need.task is Task.REACH else HERE
    # A node of the tunnel's own needs no root, nobody's login, and leaves with the tunnel.
    alone = need.unattended and need.task is Task.EXPOSE
    engine = ("--engine", "tailscale", *options(daemon="private" if alone else "", **chosen))
    opened = open_step(need, target, offer, engine, where=where, environment=_KEY if alone else ())
    joined = () if alone else _joined(need)
    left = "tailscaled takes its part out again"
    undo = closing(target, left) if alone else closing(target, left, _LEAVE)
    return Plan((*joined, opened, *seen(need, target), *_check(need)), undo)


def serve(need: Need, target: Target, offer: GateOffer) -> Plan:
    """Inside the tailnet."""
    if need.whole_network or need.traffic is Traffic.UDP:
        why = "a whole network is joined, not opened"
        return Plan((*_joined(need), *_check(need)), (_LEAVE,), theirs=why)
    if is_bytes(need):
        return _by_hand(need, target, offer)
    https = "yes" if offer.auth is Auth.SSO and offer.words == ("--gate", "oauth") else ""
    return _opened(need, target, offer, https=https)


def _by_hand(need: Need, target: Target, offer: GateOffer) -> Plan:
    # In the foreground it ends with its terminal; only what is to last is left to the daemon.
    background = ("--bg",) if need.seconds is None else ()
    where = "beside the service" if need.task is Task.REACH else HERE
    door = f"--tcp={target.port}"
    words = ("tailscale", "serve", *background, door, f"tcp://{target.address}")
    off = ("tailscale", "serve", door, "off")
    undo = (Step(argv=off, where=where, note="or Ctrl-C in the foreground"), _LEAVE)
    run = (*_joined(need), Step(argv=words, where=where), *_check(need))
    return Plan(run, undo, theirs=offer.theirs)


def funnel(need: Need, target: Target, offer: GateOffer) -> Plan:
    """To the internet."""
    return _opened(need, target, offer, share="funnel")


PLANS: Final = {"tailscale-serve": serve, "tailscale-funnel": funnel}
