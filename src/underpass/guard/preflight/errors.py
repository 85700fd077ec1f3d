"""What is said when preflight refuses, and when its override is no reason."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.guard.preflight.findings import Finding
from underpass.model.errors import Misuse, Refused

FEWEST_WORDS = 3
"""A reason that somebody can judge later says who, what or until when: no single word does."""


@dataclass(eq=False)
class DangerousOrigin(Refused):
    """Everybody could come to the origin, and it is something that strangers must not have."""

    origin: str
    findings: tuple[Finding, ...]

    code = "dangerous-origin"
    sentence = "cannot open {origin}: it is {what}"
    hint_text = "{hints}"

    def _facts(self) -> dict[str, object]:
        what = "; and ".join(f"{each.what} ({each.code})" for each in self.findings)
        hints = "; ".join(dict.fromkeys(each.hint for each in self.findings))
        return {"origin": self.origin, "what": what, "hints": hints}

    def to_dict(self) -> dict[str, object]:
        """As every error's, with the findings."""
        return {**super().to_dict(), "findings": [each.to_dict() for each in self.findings]}


@dataclass(eq=False)
class ReasonTooShort(Misuse):
    """An override without a reason that anybody could judge later."""

    words: int

    code = "reason-too-short"
    sentence = "cannot take that as a reason: it has fewer than {words} words"
    hint_text = "say who may come, and until when: --accept-danger 'shown to the class until noon'"


def check_reason(reason: str) -> None:
    """Raise ``ReasonTooShort`` unless ``reason`` has words enough."""
    if len([word for word in reason.split() if any(map(str.isalnum, word))]) < FEWEST_WORDS:
        raise ReasonTooShort(FEWEST_WORDS)
