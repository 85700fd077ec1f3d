"""How far a project file may go: what the user allows to files that came with a project. Pure.

    [projects]                     # in the user's own underpass.toml
    may = ["relay", "cors"]        # settings of [open] that project files may make freely

A project file comes with other people's code. By itself it may name and narrow a tunnel; whoever
sees the traffic, which files are read and who may come without a secret is the user's to say; and
what the user's own file says of gates, quotas and ends can be narrowed, not replaced.
Upper limits that hold for everybody are in the policy file (``guard.policy``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Final

from underpass.model.duration import format_duration, parse_duration
from underpass.model.errors import UnderpassError
from underpass.model.gate_rules import parse_gates
from underpass.model.spec import DEFAULT_LEASE

FREE: Final = frozenset(
    {
        "name",
        "owner",
        "purpose",
        "for",
        "idle",
        "mcp",
        "host-header",
        "health-path",
        "health",
        "timeout",
        "gate",
        "quota",
    }
)
"""Settings of ``[open]`` that a project file may make, ``for`` and ``gate`` within bounds."""

STRONG_GATES: Final = frozenset({"bearer", "basic", "oauth"})
"""Gates with a secret of their own, or by the owner's word on each client; an ``ip`` or ``link``
gate alone is weaker. Others let in whom somebody else names: an issuer, an authority, a sender.
With ``oauth:origin`` the origin decides, which is the project's own code; whom a provider may name
(``oauth-allow``) is no project's to say."""


def excess(
    tables: Mapping[str, Mapping[str, object]],
    may: Set[str] = frozenset(),
    own: Mapping[str, object] = MappingProxyType({}),
) -> list[str]:
    """What a project file's tables ask for beyond what is allowed, in words. ``own`` is ``[open]``
    of the user's file, in whose place the project's settings come."""
    wishes = []
    for table, settings in tables.items():
        if table != "open":
            # Reading a token for somebody's relay, or serving one, is no project's to ask.
            wishes += [] if table in may else [f"[{table}]"]
            continue
        for name, value in settings.items():
            if name not in may and (wish := _excess(name, value) or _widening(name, value, own)):
                wishes.append(wish)
    return wishes


def _excess(name: str, value: object) -> str:
    if value is False:
        return ""
    if name not in FREE:
        return f"{name} = {_shown(value)}"
    if name == "gate" and not _has_strong_gate(value):
        return f"gate = {_shown(value)} without bearer, basic or oauth"
    if name == "for" and parse_duration(str(value)) > DEFAULT_LEASE:
        return f"for = {_shown(value)}, more than {format_duration(DEFAULT_LEASE)}"
    return ""


def _widening(name: str, value: object, own: Mapping[str, object]) -> str:
    """What the setting takes from the user's own one, which would count without it."""
    mine = own.get(name)
    if mine is None or mine == value:
        return ""
    if name in {"for", "idle"}:
        is_wider = parse_duration(str(value)) > parse_duration(str(mine))
    elif name == "gate":
        is_wider = not _keeps(value, mine)
    else:
        is_wider = name == "quota" or (name.startswith("no-") and value is False)
    return f"{name} = {_shown(value)} in place of your {_shown(mine)}" if is_wider else ""


def _keeps(value: object, mine: object) -> bool:
    """Whether whoever passes the gates ``value`` has passed those of ``mine`` too."""
    try:
        gates, rules = parse_gates(_texts(value))
        own_gates, own_rules = parse_gates(_texts(mine))
    except UnderpassError:
        return False
    return rules == own_rules and set(own_gates) <= set(gates)


def _texts(value: object) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(each) for each in value]
    return [str(value)]


def _has_strong_gate(value: object) -> bool:
    """Whether nobody comes in, on any path, without passing one."""
    try:
        gates, rules = parse_gates(_texts(value))
    except UnderpassError:
        return False
    choices = [choice for rule in rules for choice in rule.choices]
    if gates:
        choices.append(gates)
    return bool(choices) and all(
        any(gate.kind in STRONG_GATES and str(gate) != "oauth:origin" for gate in choice)
        for choice in choices
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return f'"{value}"'
