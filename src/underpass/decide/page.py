"""The tables of the documentation page, as Markdown, made from the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from underpass.decide.need import Auth
from underpass.decide.quotas import Quotas
from underpass.decide.way import Way


def ways_table(ways: Iterable[Way]) -> str:
    """One line a way."""
    rows = [
        (
            f"`{way.id}`",
            way.title,
            ", ".join(sorted(way.tasks)),
            ", ".join(sorted(way.traffic)),
            ", ".join(dict.fromkeys(g.auth for g in way.gates if g.auth is not Auth.NONE))
            or "none",
            way.third_party or "nobody",
            f"{way.setup_seconds} s{' a machine' if way.per_machine else ''}",
            "yes" if way.is_driven_whole else "in part",
        )
        for way in ways
    ]
    head = ("way", "what", "for", "carries", "gates", "third party", "set-up", "driven by us")
    return _table(head, rows)


def quotas_table(quotas: Quotas) -> str:
    """One line a quota."""
    rows = [
        (
            ", ".join(f"`{way}`" for way in fact.ways),
            fact.says,
            fact.as_of.isoformat(),
            fact.basis.value,
            fact.source,
        )
        for fact in quotas.facts
    ]
    return _table(("way", "what", "as of", "basis", "source"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
