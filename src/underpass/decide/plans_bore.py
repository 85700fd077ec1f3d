"""Steps with bore, by its own server or the public one."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Need
from underpass.decide.opening import closing, open_step, options, seen
from underpass.decide.steps import Plan, Step, Target
from underpass.decide.way import GateOffer

_FIRST_PORT: Final = "20000"
_SECRET: Final = ("BORE_SECRET",)


def own(need: Need, target: Target, offer: GateOffer) -> Plan:
    """Both ends, with the secret in the environment."""
    server = target.names.via.rpartition("@")[2].partition(":")[0] or "SERVER"
    serve = Step(
        argv=("bore", "server", "--min-port", _FIRST_PORT, "--max-port", "20999"),
        environment=_SECRET,
        where="on your server",
        note="as a service that is always restarted: it ends with code 0 when it fails, too",
    )
    # The same port after a restart, where the address is to stay.
    keeps = need.stable_name or need.persistent or need.seconds is None
    engine = ("--via", f"bore:{server}", *options(port=_FIRST_PORT if keeps else ""))
    opened = open_step(need, target, offer, engine, environment=_SECRET)
    stopped = Step(note="Ctrl-C ends `bore server`", where="on your server")
    return Plan((serve, opened, *seen(need, target)), closing(target, "nothing is left", stopped))


def public(need: Need, target: Target, offer: GateOffer) -> Plan:
    """The public instance."""
    opened = open_step(need, target, offer, ("--via", "bore:bore.pub"))
    return Plan((opened, *seen(need, target)), closing(target, "nothing is left at bore.pub"))


PLANS: Final = {"bore-own": own, "bore-pub": public}
