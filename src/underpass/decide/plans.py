"""Which steps belong to which way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from underpass.decide import (
    plans_bore,
    plans_cloudflare,
    plans_ngrok,
    plans_relay,
    plans_ssh,
    plans_tailscale,
    plans_wireguard,
)
from underpass.decide.need import Need
from underpass.decide.steps import Plan, Target
from underpass.decide.way import GateOffer
from underpass.decide.ways import way

_PLANS: Final[Mapping[str, Callable[[Need, Target, GateOffer], Plan]]] = MappingProxyType(
    {
        **plans_relay.PLANS,
        **plans_ngrok.PLANS,
        **plans_cloudflare.PLANS,
        **plans_tailscale.PLANS,
        **plans_bore.PLANS,
        **plans_ssh.PLANS,
        **plans_wireguard.PLANS,
    }
)


def plan(identifier: str, need: Need) -> Plan:
    """The steps for a way, filled in with what ``need`` names."""
    return _PLANS[identifier](need, Target(need.names), way(identifier).chosen(need))
