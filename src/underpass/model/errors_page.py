"""The page of all error codes, as Markdown, made from the classes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from underpass.model.errors import (
    Defect,
    Misuse,
    PeerFault,
    Refused,
    Setup,
    UnderpassError,
    Unreachable,
)

KINDS = {
    Misuse: "misuse",
    Setup: "setup",
    Refused: "refused",
    Unreachable: "unreachable",
    PeerFault: "peer fault",
    Defect: "defect",
}

_HEAD = "| code | kind | exit | retryable | what it says | hint |\n|---|---|---|---|---|---|\n"
_CONVERSION = re.compile(r"\{(\w+)(?:![rs])?(?::[^{}]*)?\}")


def errors_table(classes: Iterable[type[UnderpassError]]) -> str:
    """One row a class, in the order given. Raises ``ValueError`` when two share a code."""
    rows: dict[str, str] = {}
    for cls in classes:
        if cls.code in rows:
            raise ValueError(f"two errors have the code {cls.code}")
        cells = (
            f"`{cls.code}`",
            kind_of(cls),
            str(cls.exit_code),
            "yes" if cls.retryable else "no",
            _prose(cls.sentence),
            _prose(cls.hint_text),
        )
        rows[cls.code] = "| " + " | ".join(cells) + " |\n"
    return _HEAD + "".join(rows.values())


def kind_of(cls: type[UnderpassError]) -> str:
    """Who has to act: the word for the kind that ``cls`` descends from."""
    for kind, word in KINDS.items():
        if issubclass(cls, kind):
            return word
    raise ValueError(f"{cls.__name__} is of no kind")


def _prose(template: str) -> str:
    """``cannot use {name!r}`` as ``cannot use *name*``, safe inside a table cell."""
    escaped = template.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*")
    return _CONVERSION.sub(r"*\1*", escaped)
