"""How recorded exchanges read for people: pure, from their JSON objects.

What visitors and origins said is shown without control characters: it must not be able to speak to
the terminal, nor to look like ours.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from underpass.cli.terminal import facts

Facts = Mapping[str, Any]

COLUMNS: Final = ("ID", "TIME", "METHOD", "TARGET", "STATUS", "OUTCOME", "MS", "UP", "DOWN", "WHO")

_TARGET_WIDTH: Final = 48
_SHOWN_LINES: Final = 200


def row(exchange: Facts) -> tuple[str, ...]:
    """One exchange in a line of a table."""
    return (
        exchange["id"],
        _moment(exchange["at"]),
        plain(exchange["method"] or exchange["kind"]),
        _short(plain(exchange["target"]), _TARGET_WIDTH),
        str(exchange["status"] or "-"),
        outcome(exchange),
        _milliseconds(exchange["total"]),
        size(exchange["up"]),
        size(exchange["down"]),
        plain(exchange["identity"] or exchange["visitor"] or "-"),
    )


def line(exchange: Facts) -> str:
    """One exchange as it comes, by itself: widths that fit most."""
    cells = row(exchange)
    widths = (13, 12, 7, 32, 3, 10, 8, 7, 7, 0)
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def outcome(exchange: Facts) -> str:
    """How it ended, with what is known besides."""
    word = str(exchange["outcome"])
    if exchange["gate"]:
        return f"{word} ({exchange['gate']})"
    return f"{word} ({plain(exchange['code'])})" if exchange["code"] else word


def page(exchange: Facts) -> str:
    """All that was kept of one exchange."""
    pairs = [
        ("tunnel", str(exchange["tunnel"])),
        ("when", f"{datetime.fromtimestamp(exchange['at'], UTC):%Y-%m-%d %H:%M:%S UTC}"),
        ("who", plain(exchange["identity"] or exchange["visitor"] or "nobody vouches for it")),
        ("outcome", outcome(exchange)),
        ("took", _times(exchange)),
        ("carried", f"{size(exchange['up'])} up, {size(exchange['down'])} down"),
    ]
    if exchange["replay_of"]:
        pairs.append(("again", f"a replay of {exchange['replay_of']}"))
    request, response = exchange["request"], exchange["response"]
    redacted = request["redacted"] + response["redacted"]
    if redacted:
        pairs.append(("redacted", f"{redacted} secret{'s' if redacted > 1 else ''} taken out"))
    lines = [f"{exchange['id']} {exchange['kind']}", facts(pairs)]
    if exchange["method"]:
        lines += ["", f"{plain(exchange['method'])} {plain(exchange['target'])}"]
        lines += [f"Host: {plain(exchange['host'])}", *_headers(request)]
    lines += _content(request["body"])
    if exchange["status"]:
        lines += ["", f"{exchange['status']} {plain(response['reason'])}".rstrip()]
        lines += _headers(response)
    lines += _content(response["body"])
    return "\n".join(lines)


def difference(before: Facts, after: Facts) -> list[str]:
    """What differs between two answers: status, header fields, body; nothing if they are alike.

    Dates and the like differ each time and are shown all the same: whoever compares may care."""
    lines = []
    if before["status"] != after["status"]:
        lines.append(f"status: {before['status']} before, {after['status']} now")
    old, new = (sorted(_headers(each["response"])) for each in (before, after))
    lines += [f"- {each}" for each in old if each not in new]
    lines += [f"+ {each}" for each in new if each not in old]
    old, new = (_content(each["response"]["body"]) for each in (before, after))
    told = difflib.unified_diff(old, new, "body before", "body now", lineterm="", n=2)
    return [*lines, *itertools.islice(told, _SHOWN_LINES)]


def plain(text: object) -> str:
    """``text`` on one line and without anything that a terminal obeys."""
    return "".join(
        letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in str(text)
    )


def size(count: int) -> str:
    """A number of bytes in three digits or so."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
            )
        amount /= 1000
    return f"{amount:.1f} TB"


def _headers(message: Facts) -> list[str]:
    return [f"{plain(name)}: {plain(value)}" for name, value in message["headers"]]


def _content(body: Facts) -> list[str]:
    lines: list[str] = []
    if body.get("parts"):
        lines.append("")
        lines += [_part(part) for part in body["parts"][:_SHOWN_LINES]]
        more = len(body["parts"]) - _SHOWN_LINES
        lines += [f"(and {more} more)"] if more > 0 else []
    elif body.get("text"):
        lines.append("")
        told = body["text"].splitlines()
        lines += [_clean(each) for each in told[:_SHOWN_LINES]]
        lines += ["(and more)"] if len(told) > _SHOWN_LINES else []
    elif body.get("base64"):
        lines += ["", f"({len(body['base64']) * 3 // 4} bytes that are no text)"]
    if body.get("opaque"):
        lines.append(f"(not kept: {body['opaque']})")
    elif body.get("cut"):
        lines.append("(cut: there was more)")
    return lines


def _part(part: Facts) -> str:
    text = part.get("text", "")
    shown = plain(text.strip()) if text else ""
    marks = [mark for mark in ("cut", "opaque") if part.get(mark)]
    if "base64" in part:
        marks.append("no text")
    marked = f" ({', '.join(marks)})" if marks else ""
    return f"+{part['at']:.3f} s  {part['kind']}  {part['size']} B{marked}  {shown}".rstrip()


def _clean(text: str) -> str:
    return "".join(
        letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}"
        for letter in text
    )


def _times(exchange: Facts) -> str:
    first, total = exchange["first"], exchange["total"]
    words = [] if first is None else [f"{first * 1000:.1f} ms to the first byte"]
    words.append("it goes on" if total is None else f"{total * 1000:.1f} ms in all")
    return ", ".join(words)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def _moment(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
