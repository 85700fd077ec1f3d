"""What preflight found, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BEARER: Final = "put a gate before it: --gate bearer"
BROWSER: Final = "put a gate before it: --gate basic, or --gate oauth"
"""For what people open in a browser, which can show a token in no other way."""
AGENTS: Final = "put a gate before it: --gate bearer, or --gate oauth"
"""For what agents call."""
REACH: Final = (
    "leave out --public and come by underpass reach, or put a gate before it: --gate ip:…"
)
"""For bytes, which can show nothing but where they come from."""
ELSEWHERE: Final = "name another origin: no gate is enough for this one"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that strangers must not have."""

    code: str
    """Stable, kebab-case: the subject, then the program (``notebook-jupyter``)."""
    what: str
    """Ends a sentence: "a Jupyter server that asks for no token"."""
    where: str
    """The question that was answered so."""
    seen: str
    """The part of the answer that tells; never a secret."""
    hint: str
    """What to do: mostly, which gate to add."""

    def to_dict(self) -> dict[str, str]:
        """As ``--json`` has it."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "seen": self.seen,
            "hint": self.hint,
        }
