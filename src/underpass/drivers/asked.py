"""Asking a program which it is: what every driver's ``detect`` begins with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Final

from underpass.drivers.errors import EngineMissing
from underpass.drivers.plans import Detection, Site
from underpass.drivers.process import minimal, run_to_end

ASK_SECONDS: Final = 5.0
"""A program says its version within milliseconds; on a crowded machine within a second or two."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program said when it was asked for its version."""

    program: str
    """Its path."""
    code: int
    lines: list[str]


async def ask_version(name: str, word: str, site: Site, *, hint: str) -> Asked | Detection:
    """Ask the program ``name`` on PATH by ``word``; why not, where there is none or it cannot run.

    ``hint`` says how to get it.
    """
    program = shutil.which(name, path=site.environment.get("PATH"))
    if program is None:
        return Detection(False, why_not=f"there is no program {name}", hint=hint)
    return await ask_program(program, word, site, hint=hint)


async def ask_program(program: str, word: str, site: Site, *, hint: str) -> Asked | Detection:
    """The same for a program whose path is known."""
    try:
        code, lines = await run_to_end(
            (program, word),
            environment=minimal(site.environment),
            directory=site.directory,
            seconds=ASK_SECONDS,
        )
    except EngineMissing as error:
        return Detection(False, program, why_not=error.why, hint=hint)
    return Asked(program, code, lines)
