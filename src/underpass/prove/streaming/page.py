"""A certificate as a page for people: one HTML file that asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from underpass.prove.streaming.judgement import ms

_WORDS: Final = {
    "first-byte": "First byte",
    "events": "Events of a stream",
    "unbuffered": "Passed on at once",
    "intact": "Large bodies intact",
    "unchanged": "Messages unchanged",
    "leaving": "A visitor's leaving",
    "breaking": "An origin's breaking",
    "silence": "Silence",
}

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #d8dee4;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums}.n:first-child{text-align:left}
.passed{color:#116329}.failed{color:#a40e26;font-weight:600}.told{color:#57606a}
code{overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}
th,td{border-color:#30363d}.passed{color:#56d364}.failed{color:#ff7b72}.told{color:#8b949e}}
"""


def page(said: Mapping[str, Any]) -> str:
    """The page of one certificate."""
    verdict = "keeps" if said["ok"] else "does not keep"
    title = f"{said['tunnel']} {verdict} the streaming contract"
    measured, signature = said["measured"], said["signature"]
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(_introduction(said))}</p>",
            _table(("", "", ""), _verdicts(said["lines"])),
            "<h2>Delay added to each event</h2>",
            _table(
                ("events a second", "came", "p50", "p99", "most", "on the straight way, p50"),
                _events(measured["events"]),
                numbers=True,
            ),
            "<h2>Large bodies</h2>",
            _table(
                ("direction", "size", "time", "on the straight way", "intact"),
                _bodies(measured["bodies"]),
                numbers=True,
            ),
            "<h2>Silence</h2>",
            _table(
                ("kind", "asked", "survived", "comments put in"),
                _silences(measured["silences"]),
                numbers=True,
            ),
            _faults(measured["faults"]),
            "<h2>Signature</h2>",
            f"<p>Ed25519, by the key <code>{escape(signature['fingerprint'])}</code>. "
            "The numbers are those of the signed JSON file; check it with "
            "<code>underpass prove --verify FILE --key FINGERPRINT</code>.</p>",
            "</body></html>",
            "",
        )
    )


def _introduction(said: Mapping[str, Any]) -> str:
    return (
        f"Measured from {said['began']} to {said['ended']} through the public name "
        f"({said['scheme']}, engine {said['engine']}, TLS {said['tls']}), seen from "
        f"{said['seen_from']}, with underpass {said['version']} on {said['system']}."
    )


def _verdicts(lines: Iterable[Mapping[str, str]]) -> list[list[str]]:
    return [
        [
            escape(_WORDS.get(line["name"], line["name"])),
            f'<span class="{escape(line["outcome"])}">{escape(line["outcome"])}</span>',
            escape(line["words"]),
        ]
        for line in lines
    ]


def _events(events: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for each in events:
        added = each["added"] or {"p50": 0, "p99": 0, "max": 0}
        rows.append(
            [
                str(each["per_second"]),
                f"{each['seen']} of {each['sent']}",
                *(ms(added[name]) for name in ("p50", "p99", "max")),
                ms(each["straight"]["p50"]),
            ]
        )
    return rows


def _bodies(bodies: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            escape(each["direction"]),
            f"{each['size']} {escape(each['kind'])}",
            ms(each["us"]),
            ms(each["straight_us"]),
            "yes" if each["is_intact"] else "no",
        ]
        for each in bodies
    ]


def _silences(silences: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            escape(each["kind"]),
            f"{each['asked_ms'] / 1000:g} s",
            f"{each['survived_ms'] / 1000:g} s",
            str(each["comments"]),
        ]
        for each in silences
    ]


def _faults(faults: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in faults)
    return f"<h2>Not measured</h2><ul>{items}</ul>" if items else ""


def _table(head: tuple[str, ...], rows: list[list[str]], *, numbers: bool = False) -> str:
    kind = ' class="n"' if numbers else ""
    cells = "".join(f"<th{kind}>{escape(each)}</th>" for each in head) if any(head) else ""
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{cells and f'<tr>{cells}</tr>'}{body}</table>"
