"""What ``underpass prove --trust`` found, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID = {
    "closed": "closed to this machine, too",
    "open": "open to whoever asks",
    "kept-shut": "open to this machine only; visitors are kept out",
    "untold": "no answer to compare with",
    "believes-claims": "OPENS to a visitor who claims to be local",
    "opened-by-trust": "OPENS to visitors because they look local",
}
_TRUSTED = {"peer": "the peer's address", "host": "the Host"}


def trust_page(told: Mapping[str, Any]) -> str:
    """The page for one answer of the API."""
    paths = told["paths"]
    width = max(len(each["path"]) for each in paths)
    lines = [_introduction(told)]
    for each in paths:
        trusts = " and ".join(_TRUSTED[what] for what in each["trusts"])
        told_by = f" (it trusts {trusts})" if trusts else ""
        lines.append(f"  {each['path']:<{width}}  {_SAID[each['finding']]}{told_by}")
    if not told["ok"]:
        lines.append(_advice(told))
    return "\n".join(lines)


def _introduction(told: Mapping[str, Any]) -> str:
    if told["peer"] == "loopback" or not told["source"]:
        seen = "from loopback, like this machine's own programs"
    else:
        seen = f"from {told['source']}"
    return f"{told['tunnel']}: its origin sees visitors come {seen}"


def _advice(told: Mapping[str, Any]) -> str:
    trusts = {what for each in told["paths"] for what in each["trusts"]}
    if "peer" in trusts and told["peer"] == "loopback":
        return "open it anew with --peer machine"
    if "host" in trusts and told["host_header"] == "origin":
        return "open it anew with --host-header preserve, or give those paths gates of their own"
    return "mend the origin, or give those paths gates of their own: --gate '/admin=bearer'"
