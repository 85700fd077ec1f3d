"""How tunnels, verdicts and changes read for people: pure, from the JSON objects.

Times are UTC, because those who compare notes about a tunnel sit on both sides of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from underpass.cli.terminal import facts, table
from underpass.model.duration import format_duration

Facts = Mapping[str, Any]

UNPROVED = "(not before the first proof)"
BY_REACH = "(by underpass reach)"


def tunnels_table(tunnels: Iterable[Facts], now: float) -> str:
    """One line a tunnel."""
    rows = [
        (
            tunnel["name"],
            _state(tunnel),
            tunnel["kind"],
            _address(tunnel),
            gates(tunnel),
            remaining(tunnel["lease"]["ends_at"], now),
            tunnel["lease"]["owner"] or "-",
        )
        for tunnel in tunnels
    ]
    return table(("NAME", "STATE", "KIND", "URL", "GATES", "ENDS IN", "OWNER"), rows)


def tunnel_page(tunnel: Facts, verdict: Facts | None, now: float, notes: Sequence[str]) -> str:
    """All that is known of one tunnel."""
    lines = [
        f"{tunnel['name']} is {tunnel['state']}",
        facts(
            [
                ("url", _address(tunnel)),
                ("kind", tunnel["kind"]),
                *gate_lines(tunnel),
                ("lease", lease(tunnel["lease"], now)),
                ("engine", tunnel["engine"]),
            ]
        ),
    ]
    lines.append(verdict_page(verdict) if verdict else "  not proved yet")
    return "\n".join([*lines, *notes])


def verdict_page(verdict: Facts) -> str:
    """What a proof found, a line a layer, from the outside to the inside."""
    rows = [
        (
            f"    {layer}",
            result["status"],
            f"{result['ms']:g} ms" if "ms" in result else "",
            ": ".join(word for word in (result.get("code"), result.get("detail")) if word),
        )
        for layer, result in verdict["layers"].items()
    ]
    head = f"  proof {'passed' if verdict['ok'] else 'failed'}{_at_fault(verdict)}"
    page = table(("", "", "", ""), rows).split("\n", 1)[1]
    return f"{head}, seen from {verdict['seen_from']} at {moment(verdict['at'])}\n{page}"


def change_line(change: Facts) -> str:
    """One change of a tunnel."""
    event, verdict = change["event"], change.get("verdict")
    told = ""
    if event == "failing" and verdict:
        layer = verdict["layer"] or "nothing known of a layer"
        result = verdict["layers"].get(verdict["layer"] or "", {})
        told = ": ".join(word for word in (layer, result.get("code"), result.get("detail")) if word)
    elif event == "live":
        told = change["tunnel"]["url"] or ""
    elif event == "lease-renewed":
        told = f"until {moment(change['ends_at'])}"
    elif event == "lease-ended":
        told = "no visitor for the idle limit" if change.get("idle") else "its hard end is reached"
    elif event == "quota-warning":
        whose = "" if change["whose"] == "own" else f" of {change['whose']}"
        told = f"{change['used']} of {change['limit']} {change['what']}{whose} are used"
    elif event == "sign-in":
        # A stranger's words: quoted, so that they are not taken for ours, with nothing but ASCII.
        whom = json.dumps(change["client"])
        # Half a code: whoever approves has it from the browser that asks, and not from here.
        told = f"{whom} asks to be let in; its browser shows a code {change['code']}"
    elif event == "link-restored":
        told = f"after {change['away_seconds']:.1f} s"
    else:
        told = str(change.get("reason", ""))
    stamp = moment(change["at"])[11:] if "at" in change else "now".ljust(12)
    return f"{stamp}  {event:<13}  {told}".rstrip()


def gates(tunnel: Facts) -> str:
    """The gates, or the word for none."""
    return " ".join(tunnel["gates"]) or "public"


def gate_lines(tunnel: Facts) -> list[tuple[str, str]]:
    """The gates for all paths, and below them each rule: what no rule names, they judge."""
    plain = " ".join(text for text in tunnel["gates"] if not text.startswith("/"))
    rules = [text for text in tunnel["gates"] if text.startswith("/")]
    if rules and not plain:
        plain = "by path"
    return [("gates", plain or "public"), *(("rule", text) for text in rules)]


def lease(terms: Facts, now: float) -> str:
    """Until when, whose, why."""
    words = f"until {moment(terms['ends_at'])} (in {remaining(terms['ends_at'], now)})"
    owner = f", owner {terms['owner']}" if terms["owner"] else ""
    return f"{words}{owner}" + (f", for {terms['purpose']}" if terms["purpose"] else "")


def remaining(ends_at: float, now: float) -> str:
    """How long from now, to the minute; seconds in the last minute."""
    left = max(0, int(ends_at - now))
    return format_duration(left - left % 60 if left > 60 else left)


def moment(at: float) -> str:
    """A point in time."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _state(tunnel: Facts) -> str:
    verdict = tunnel.get("verdict")
    return f"{tunnel['state']}{_at_fault(verdict)}" if verdict else str(tunnel["state"])


def _at_fault(verdict: Facts) -> str:
    return f" ({verdict['layer']})" if verdict["layer"] else ""


def _address(tunnel: Facts) -> str:
    if tunnel["url"]:
        return str(tunnel["url"])
    # A gated tcp tunnel has no public address at all.
    return BY_REACH if tunnel["kind"] == "tcp" and tunnel["state"] == "live" else UNPROVED
