"""What a tailnet's rules let come in besides one tunnel."""

from __future__ import annotations

from typing import Any

import pytest

from underpass.drivers.tailscale.inbound import what_else

MINE = ["100.64.0.3", "fd7a:115c:a1e0::3"]


def rule(net: str, first: int, last: int, *, protocols: list[int] | None = None) -> Any:
    return {
        "IPProto": [6] if protocols is None else protocols,
        "Srcs": ["100.64.0.0/10"],
        "Dsts": [{"Net": net, "Ports": {"First": first, "Last": last}}],
    }


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([], ""),
        ([rule("100.64.0.3/32", 80, 80)], ""),
        ([rule("0.0.0.0/0", 80, 80), rule("::/0", 80, 80, protocols=[6, 1, 58])], ""),
        ([rule("100.64.0.9/32", 0, 65_535)], ""),
        ([rule("0.0.0.0/0", 0, 65_535)], "ports 0 to 65535"),
        ([rule("fd7a:115c:a1e0::/48", 22, 22)], "port 22"),
        ([rule("100.64.0.3/32", 80, 80), rule("100.64.0.3/32", 79, 80)], "ports 79 to 80"),
        ([rule("0.0.0.0/0", 80, 80, protocols=[6, 17])], "port 80 by other protocols than TCP"),
        ([rule("0.0.0.0/0", 80, 80, protocols=[])], "port 80 by other protocols than TCP"),
        ([{**rule("0.0.0.0/0", 0, 65_535), "Srcs": []}], ""),
    ],
)
def test_the_first_thing_besides_the_tunnel_is_told(rules: list[Any], found: str) -> None:
    assert what_else(rules, MINE, 80) == found


def test_a_rule_that_has_only_capabilities_lets_nothing_in() -> None:
    caps = {"IPProto": None, "Srcs": ["*"], "Dsts": [], "Caps": [{"Cap": "x"}]}
    assert what_else([caps], MINE, 80) == ""
