"""Whether the gatehouse would refuse an address that must be refused: the ip gate's own proof."""

from __future__ import annotations

from underpass.gatehouse.house import House
from underpass.gatehouse.proof import LayerAnswer


def judge_foreign(house: House, address: str) -> LayerAnswer:
    """Whether the ``ip`` gates, and every rule with one, would refuse ``address``: ``open`` when
    the tunnel has no gate at all, ``skipped`` when it has others."""
    guard = house.guard
    if guard.is_public:
        return LayerAnswer("open")
    if "ip" not in guard.kinds:
        return LayerAnswer("skipped")
    if guard.admits_address(address) or not guard.keeps_out(address):
        return LayerAnswer("failed", "gate-open", "a foreign address was admitted")
    return LayerAnswer("passed")
