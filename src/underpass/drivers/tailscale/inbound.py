"""What a tailnet's rules let come in besides one tunnel. Pure.

A tailscaled in userspace mode hands every connection that the rules let in, and that it does not
serve itself, to the same port of this machine's loopback interface: without rules of their own,
all local services would be open to the tailnet. Only the tailnet can be asked to drop them, so its
rules are read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final

_TCP: Final = 6
_PORTLESS: Final = frozenset({1, 58})
# ICMP in both versions.


def what_else(rules: Iterable[Mapping[str, Any]], mine: Iterable[str], port: int) -> str:
    """The first thing besides TCP to ``port`` that ``rules`` let reach one of ``mine``, in words;
    "" for nothing."""
    addresses = [ipaddress.ip_address(each) for each in mine]
    for rule in rules:
        if not rule.get("Srcs") and not rule.get("SrcCaps"):
            continue
        protocols = set(rule.get("IPProto") or ()) - _PORTLESS
        for target in rule.get("Dsts") or ():
            network = ipaddress.ip_network(str(target.get("Net")), strict=False)
            if not any(each in network for each in addresses):
                continue
            ports = target.get("Ports") or {}
            first, last = int(ports.get("First", 0)), int(ports.get("Last", 65_535))
            if (first, last) != (port, port):
                return f"ports {first} to {last}" if first != last else f"port {first}"
            if protocols - {_TCP} or not rule.get("IPProto"):
                return f"port {port} by other protocols than TCP"
    return ""
