"""From samples to medians, ratios, tables and a file. Pure, except for `machine`."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REFERENCES = ("direct", "ssh -R", "bore", "frp", "frp http", "frp https", "chisel")
"""Peers that others are compared with, in the order of the columns."""


@dataclass(slots=True)
class Figures:
    """All samples of one workload."""

    name: str
    unit: str
    better: str
    """`more` or `less`."""
    samples: dict[str, list[float | None]] = field(default_factory=dict)
    """One value for each round by peer; None where a round gave none."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why a peer has no value, by peer."""

    def add(self, peer: str, value: float | None) -> None:
        self.samples.setdefault(peer, []).append(value)

    def median(self, peer: str) -> float | None:
        values = [value for value in self.samples.get(peer, ()) if value is not None]
        return statistics.median(values) if values else None

    def ratio(self, peer: str, reference: str) -> float | None:
        """How many times as good as the reference: the median of the rounds' ratios, so that a
        round in which the machine was slow counts for both alike. Above 1 is better."""
        pairs = zip(self.samples.get(peer, ()), self.samples.get(reference, ()), strict=False)
        ratios = [
            own / other if self.better == "more" else other / own
            for own, other in pairs
            if own is not None and other is not None and own > 0 and other > 0
        ]
        return statistics.median(ratios) if ratios else None

    def to_dict(self) -> dict[str, object]:
        return {
            "workload": self.name,
            "unit": self.unit,
            "better": self.better,
            "peers": {
                peer: {
                    "median": self.median(peer),
                    "samples": samples,
                    "ratios": {
                        reference: ratio
                        for reference in REFERENCES
                        if reference != peer and (ratio := self.ratio(peer, reference)) is not None
                    },
                    **({"failure": self.failures[peer]} if peer in self.failures else {}),
                }
                for peer, samples in self.samples.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Target:
    """One figure to reach: `ours` at least `wanted` times as good as `reference`."""

    workload: str
    ours: str
    reference: str
    wanted: float


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure to keep: the median of `ours` at most `most`."""

    workload: str
    ours: str
    most: float


LIMITS = (
    Limit("small requests beside bulk at 1 Mbit/s, p99", "underpass http", 2000),
    Limit("memory of an idle connection, server", "underpass", 20),
    Limit("memory of an idle connection, server", "underpass http", 20),
    Limit("memory of an idle connection, server", "underpass https", 40),
    Limit("memory of an idle tunnel, server", "underpass https", 200),
    Limit("memory added by 1 GiB to a reader, server", "underpass http", 32),
    Limit("memory added by 1 GiB to a reader, client", "underpass http", 32),
    Limit("memory added by slow readers, server", "underpass http", 64),
    Limit("memory added by slow readers, client", "underpass http", 64),
    Limit("memory added by slow readers, server", "underpass https", 64),
    Limit("CPU of underpass --help", "underpass", 150),
    Limit("CPU of underpass list --json", "underpass", 150),
    Limit("first proof with the embedded relay", "underpass", 1500),
)

COST = 1.25
"""How many times as much a request may cost with gates, recording and metering as without."""

TARGETS = (
    Target("CPU of a request, 2 clients", "underpass http", "underpass http bare", 1 / COST),
    Target("CPU of a request, 16 clients", "underpass http", "underpass http bare", 1 / COST),
    Target("CPU of a request, 64 clients", "underpass http", "underpass http bare", 1 / COST),
    Target("HTTP requests, 16 clients", "underpass", "bore", 1.0),
    Target("HTTP requests, 64 clients", "underpass", "bore", 1.0),
    Target("HTTP requests, 16 clients", "underpass https", "frp https", 1.0),
    Target("HTTP requests, 64 clients", "underpass https", "frp https", 1.0),
    Target("HTTP requests, 16 clients", "underpass http", "frp http", 1.0),
    Target("HTTP requests, 64 clients", "underpass http", "frp http", 1.0),
    Target("HTTP requests, 16 clients", "underpass https", "bore", 0.2),
    Target("HTTP requests, 64 clients", "underpass https", "bore", 0.2),
    Target("new connections", "underpass", "bore", 1.2),
    Target("round trips of 64 bytes", "underpass", "bore", 1.0),
    Target("bulk to the origin", "underpass", "bore", 1.0),
    Target("bulk to the visitor", "underpass", "bore", 1.0),
    Target("bulk to the origin", "underpass tls", "frp", 1.0),
    Target("bulk to the visitor", "underpass tls", "frp", 1.0),
    Target("bulk to the origin", "underpass tls", "chisel", 1.0),
    Target("bulk to the visitor", "underpass tls", "chisel", 1.0),
    Target("first byte at 40 ms, new connection", "underpass", "direct", 1 / 1.1),
    Target("first byte at 40 ms, kept connection", "underpass", "direct", 1 / 1.1),
    Target("first byte at 40 ms, new connection", "underpass http", "direct", 1 / 1.1),
    Target("first byte at 40 ms, kept connection", "underpass http", "direct", 1 / 1.1),
)


def tables(
    figures: Sequence[Figures],
    notes: Mapping[str, str],
    missing: Mapping[str, str],
    place: str,
    rounds: int,
) -> str:
    """The whole report in Markdown. Peers that could not be measured are named, with the reason."""
    parts = [
        f"Measured on {place}. Medians of {rounds} interleaved rounds; "
        "`×` columns say how many times as good as that peer (above 1 is better), "
        "each the median of the ratios of the rounds.\n",
        _table(("peer", "what it is"), [(peer, note) for peer, note in notes.items()]),
    ]
    if missing:
        parts.append("Not measured:\n")
        parts.append("".join(f"- **{peer}**: {reason}\n" for peer, reason in missing.items()))
    met = [row for target in TARGETS if (row := _target_row(target, figures))]
    met += [row for limit in LIMITS if (row := _limit_row(limit, figures))]
    if met:
        parts.append("## Figures to reach\n")
        parts.append(_table(("work", "of", "against", "wanted", "got", ""), met))
    for one in figures:
        if one.samples:
            parts.append(f"## {one.name} ({one.unit}, {one.better} is better)\n")
            parts.append(_workload_table(one))
    return "\n".join(parts)


def machine() -> str:
    """One line that names this machine without identifying it."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def _workload_table(figures: Figures) -> str:
    references = [name for name in REFERENCES if figures.median(name) is not None]
    rows = []
    for peer, samples in figures.samples.items():
        values = [value for value in samples if value is not None]
        if not values:
            rows.append((peer, figures.failures.get(peer, "no value"), "", *[""] * len(references)))
            continue
        middle = f"{_number(statistics.median(values))}"
        if len(values) < len(samples):
            middle += f" ({len(values)} of {len(samples)})"
        ratios = ("" if name == peer else _ratio(figures.ratio(peer, name)) for name in references)
        rows.append((peer, middle, f"{_number(min(values))} … {_number(max(values))}", *ratios))
    head = ("peer", "median", "range", *(f"× {name}" for name in references))
    return _table(head, rows)


def _target_row(target: Target, figures: Sequence[Figures]) -> tuple[str, ...] | None:
    one = next((one for one in figures if one.name == target.workload), None)
    if one is None or (got := one.ratio(target.ours, target.reference)) is None:
        return None
    verdict = "met" if got >= target.wanted else f"missed by {(1 - got / target.wanted):.0%}"
    wanted = f"{target.wanted:.2f}"
    return (target.workload, target.ours, target.reference, wanted, _ratio(got), verdict)


def _limit_row(limit: Limit, figures: Sequence[Figures]) -> tuple[str, ...] | None:
    one = next((one for one in figures if one.name == limit.workload), None)
    if one is None or (got := one.median(limit.ours)) is None:
        return None
    verdict = "met" if got <= limit.most else f"missed by {got / limit.most - 1:.0%}"
    most = f"at most {_number(limit.most)} {one.unit}"
    return (limit.workload, limit.ours, "", most, f"{_number(got)} {one.unit}", verdict)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
