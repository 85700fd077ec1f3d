"""Which OpenSSH is here: asked once and in the same way for every engine that runs it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from underpass.drivers.asked import ask_version
from underpass.drivers.plans import Detection, Site

OLDEST: Final = (7, 6)
# accept-new, and -J since 7.3.

HOW_TO_GET_IT: Final = "install it: apt-get install openssh-client"

_VERSION: Final = re.compile(r"OpenSSH_(\d{1,3})\.(\d{1,3})[^\s,]{0,20}")


async def detect_openssh(site: Site) -> Detection:
    """The ssh on PATH, and why it cannot be used where it cannot."""
    asked = await ask_version("ssh", "-V", site, hint=HOW_TO_GET_IT)
    if isinstance(asked, Detection):
        return asked
    return judge(asked.program, asked.lines)


def judge(program: str, lines: Iterable[str]) -> Detection:
    """What ``program`` is, by what it said when it was asked for its version. Pure."""
    heard = list(lines)[:20]
    match = next((found for line in heard if (found := _VERSION.search(line))), None)
    if match is None:
        why = f"{program} does not say that it is OpenSSH"
        return Detection(True, program, why_not=why, hint=HOW_TO_GET_IT)
    if (int(match[1]), int(match[2])) < OLDEST:
        why = "it is older than OpenSSH 7.6"
        return Detection(True, program, match[0], why_not=why, hint=HOW_TO_GET_IT)
    return Detection(True, program, match[0])
