"""What is here of Tailscale: a daemon that answers, or a program to start one with."""

from __future__ import annotations

import os
import re
import shutil
from typing import Final

from underpass.drivers.asked import ask_program
from underpass.drivers.observations import Refusal
from underpass.drivers.plans import Detection, Site
from underpass.drivers.tailscale.local_api import Answered, Denied, LocalApi, Silent
from underpass.drivers.tailscale.settings import TailscaleSettings
from underpass.drivers.tailscale.state import Status, judge

OLDEST: Final = (1, 52)
# serve and funnel have their present shape since then.

UNIX_SINCE: Final = (1, 94)
TCP_UNIX_SINCE: Final = (1, 102)
# A Unix socket as a target of serve: for HTTP (their pull request 18089), for TCP (19684).

HOW_TO_GET_IT: Final = "install it: https://tailscale.com/download, or use another engine"
HOW_TO_START: Final = "start it: sudo systemctl start tailscaled, or use daemon=private"

_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")


async def ask_daemon(socket: str, site: Site) -> Detection:
    """How the tailscaled at ``socket`` is. Never raises."""
    installed = os.path.exists(socket) or bool(_which("tailscaled", site))  # noqa: ASYNC240
    try:
        async with LocalApi(socket) as api:
            status = await api.status()
    except Denied as error:
        return Detection(installed, socket, why_not=f"it does not let this user look: {error}")
    except (Silent, Answered) as error:
        why = f"no tailscaled answers at {socket}: {error}"
        return Detection(installed, socket, why_not=why, hint=HOW_TO_START)
    return judge_daemon(socket, status)


def judge_daemon(socket: str, status: Status) -> Detection:
    """What a running tailscaled's status says of it. Pure, but for whose user asks."""
    found = judge(status)
    if isinstance(found, Refusal):
        return Detection(
            True,
            socket,
            status.version,
            signed_in=False,
            why_not=found.detail,
            hint=found.hint,
        )
    return _judge_version(
        socket,
        status.version,
        {"host": status.me.name, "suffix": status.tailnet.suffix if status.tailnet else ""},
        signed_in=True,
    )


async def find_program(site: Site) -> Detection:
    """The program for a daemon of one's own. Never raises."""
    program = _which("tailscaled", site)
    if program is None:
        return Detection(False, why_not="there is no program tailscaled", hint=HOW_TO_GET_IT)
    asked = await ask_program(program, "--version", site, hint=HOW_TO_GET_IT)
    if isinstance(asked, Detection):
        return asked
    settings = TailscaleSettings.parse(site.options)
    has_key = bool(settings.auth_key_file or settings.auth_key(site) or settings.state)
    version = asked.lines[0].strip() if asked.lines and asked.code == 0 else ""
    return _judge_version(program, version, {}, signed_in=has_key)


def _judge_version(
    program: str, version: str, facts: dict[str, str], *, signed_in: bool
) -> Detection:
    match = _VERSION.match(version)
    if match is None or not version.isprintable():
        why = f"{program} does not say that it is tailscaled"
        return Detection(True, program, why_not=why, hint=HOW_TO_GET_IT)
    version = version.partition("-")[0][:20]
    numbers = int(match[1]), int(match[2])
    if numbers < OLDEST:
        why = f"tailscale {version} is older than 1.52"
        return Detection(True, program, version, why_not=why, hint=HOW_TO_GET_IT)
    # tailscaled lets only root lead visitors to a Unix socket, or who may become root by sudo.
    kinds = "all" if numbers >= TCP_UNIX_SINCE else "http" if numbers >= UNIX_SINCE else ""
    kinds = kinds if os.geteuid() == 0 else ""
    limit = "visitors' addresses are not known: that needs root, and tailscale 1.94"
    return Detection(
        *(True, program, version, signed_in),
        limits=() if kinds else (limit,),
        facts={**facts, "unix": kinds},
    )


def _which(program: str, site: Site) -> str | None:
    return shutil.which(program, path=site.environment.get("PATH"))
