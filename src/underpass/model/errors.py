"""Every error this project can answer with: who has to act, why, and how.

One base class; below it six kinds that say who has to act; below those one class per stable
code. An error is a dataclass (``@dataclass(eq=False)``): its facts are its fields, and the sentence
and the hint are built from them. Errors that several packages know live in the ``errors_…`` modules
beside this one, others beside the code that raises them; a new class is a new row in
``docs/errors.md`` (made by ``errors_page``), and its code must never change afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class UnderpassError(Exception):
    """Base of every error that this project raises on purpose.

    Subclasses are dataclasses that set ``code`` (kebab-case, stable), ``sentence`` (begins with
    what could not be done; a ``str.format`` template over the fields) and, where something can be
    typed or looked at, ``hint_text`` (a template too).
    """

    code: ClassVar[str] = ""
    sentence: ClassVar[str] = ""
    hint_text: ClassVar[str] = ""
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without anybody changing anything."""
    exit_code: ClassVar[int] = 1
    """Exit code of the command line (0 ok … 130 interrupted; see the errors page)."""

    @property
    def message(self) -> str:
        """One sentence, without a secret, beginning with what could not be done."""
        return self.sentence.format(**self._facts())

    @property
    def hint(self) -> str | None:
        """What to do or type next, if there is something."""
        return self.hint_text.format(**self._facts()) if self.hint_text else None

    def _facts(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def to_dict(self) -> dict[str, object]:
        """The object under ``"error"`` in every ``--json`` answer."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
        }

    def __str__(self) -> str:
        return self.message


class Misuse(UnderpassError):
    """The caller asked for something that cannot be: fix the command or the call."""

    exit_code = 2


class Setup(UnderpassError):
    """This machine or its configuration is not ready: fix it here."""


class Refused(UnderpassError):
    """Policy, a gate, a key or another owner said no."""

    exit_code = 4


class Unreachable(UnderpassError):
    """Something that should answer does not; often it helps to wait."""

    retryable = True


class PeerFault(UnderpassError):
    """The other side broke the rules of the protocol."""


class Defect(UnderpassError):
    """A bug of ours. Please report it."""


def catalogue() -> Iterator[type[UnderpassError]]:
    """Every error class with a code that has been imported, in the order of their codes."""

    def walk(cls: type[UnderpassError]) -> Iterator[type[UnderpassError]]:
        for child in cls.__subclasses__():
            if "code" in vars(child) and child.code:
                yield child
            yield from walk(child)

    yield from sorted(set(walk(UnderpassError)), key=lambda cls: cls.code)
