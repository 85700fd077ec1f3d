"""Which steps belong to which way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from underpass.decide import plans_relay, plans_ssh, plans_vendor
from underpass.decide.need import Need
from underpass.decide.steps import Plan, Target

_PLANS: Final[Mapping[str, Callable[[Need, Target], Plan]]] = MappingProxyType(
    {**plans_relay.PLANS, **plans_vendor.PLANS, **plans_ssh.PLANS}
)


def plan(way: str, need: Need) -> Plan:
    """The steps for ``way``, filled in with what ``need`` names."""
    return _PLANS[way](need, Target(need.names))
