"""Steps with Cloudflare Tunnel: a quick one, and a named one with or without Access."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Need
from underpass.decide.opening import closing, open_step, options, seen
from underpass.decide.steps import Plan, Step, Target
from underpass.decide.way import GateOffer

API_TOKEN: Final = "~/cloudflare-api.token"
ACCESS: Final = "access="
"""How an offer's words say that Access is put on."""

_MAKES_API: Final = (
    f"an API token in {API_TOKEN} (mode 0600) with Zone:Read, DNS:Edit, Cloudflare Tunnel:Edit"
)


def quick(need: Need, target: Target, offer: GateOffer) -> Plan:
    """No account, another name each time."""
    opened = open_step(need, target, offer, ("--engine", "cloudflare"))
    left = "the name is gone with it, and nothing is left at Cloudflare"
    return Plan((opened, *seen(need, target)), closing(target, left))


def named(need: Need, target: Target, offer: GateOffer) -> Plan:
    """A named tunnel; Access only after a proof, so that faults tell apart."""
    token = f"~/{target.label}.token"
    by_api = need.unattended or any(ACCESS in word for word in offer.words)
    api = API_TOKEN if by_api else ""
    engine = (
        *("--engine", "cloudflare"),
        *options(hostname=target.hostname, token_file=token, api_token_file=api),
    )
    made = _by_dashboard(target, token) if need.unattended else _by_login(target, token, api)
    look = ("underpass", "changes", *open_step(need, target, offer, engine).argv[2:3], *engine)
    changes = (Step(argv=look, note="what would be changed there; changes nothing"),) * by_api
    opened = open_step(need, target, offer, engine, note=_PROVED if by_api else "")
    left = "records, rules and Access that it made are undone" if by_api else "the tunnel stays"
    return Plan(
        (*made, *changes, opened, *seen(need, target)),
        closing(target, left, *_removal(need, target, by_api=by_api), _forget(token, api)),
    )


_PROVED: Final = "proves the tunnel first, and puts Access on only then"


def _by_login(target: Target, token: str, api: str) -> tuple[Step, ...]:
    write = f"umask 077; cloudflared tunnel token {target.label} > {token}"
    steps = [
        Step(argv=("cloudflared", "tunnel", "login"), note="once; a browser login"),
        Step(argv=("cloudflared", "tunnel", "create", target.label)),
        Step(argv=("sh", "-c", write), note="its token, for your eyes only"),
    ]
    if api:
        steps.append(
            Step(
                note=f"in the dashboard, make {_MAKES_API}, and for Access: Apps and "
                "Policies:Edit and Service Tokens:Edit"
            )
        )
    else:
        words = ("cloudflared", "tunnel", "route", "dns", target.label, target.hostname)
        steps.append(Step(argv=words, note="refuses when a record of that name exists"))
    return tuple(steps)


def _by_dashboard(target: Target, token: str) -> tuple[Step, ...]:
    made = f"in the dashboard, make a tunnel, and keep its token in {token} (mode 0600)"
    return (Step(note=made), Step(note=f"make {_MAKES_API}: its rules are set right by that"))


def _removal(need: Need, target: Target, *, by_api: bool) -> tuple[Step, ...]:
    if need.unattended:
        return (Step(note="delete the tunnel in the dashboard"),)
    deleted = Step(argv=("cloudflared", "tunnel", "delete", target.label))
    record = Step(note=f"delete the DNS record {target.hostname} by hand")
    return (deleted,) if by_api else (deleted, record)


def _forget(token: str, api: str) -> Step:
    files = f"{token} and {api}" if api else token
    return Step(note=f"delete {files}" + (", and roll the API token" if api else ""))


PLANS: Final = {"cloudflare-quick": quick, "cloudflare-named": named}
