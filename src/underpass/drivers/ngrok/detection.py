"""What is here of ngrok: the agent and its version, the SDK, and an account to use them with."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import replace
from typing import Final

from underpass.drivers.asked import ask_version
from underpass.drivers.ngrok.credentials import find_token
from underpass.drivers.ngrok.settings import NgrokSettings
from underpass.drivers.plans import Detection, Site
from underpass.model.errors import UnderpassError

OLDEST: Final = (3, 16)
# The configuration's version 3, with endpoints and traffic policies, came with it.

SDK: Final = "underpass.drivers.ngrok.sdk_program"
"""What stands for the program in what is detected of the SDK."""

GET_AGENT: Final = "install it from https://ngrok.com/download, or: pip install 'underpass[ngrok]'"
GET_SDK: Final = "pip install 'underpass[ngrok]'"
GET_TOKEN: Final = (
    "set NGROK_AUTHTOKEN, or name a private file: ngrok.authtoken-file=FILE; the token is at "
    "https://dashboard.ngrok.com/get-started/your-authtoken"
)

_VERSION: Final = re.compile(r"ngrok version (\d{1,4})\.(\d{1,4})\.(\d{1,4})")


async def find_agent(site: Site, settings: NgrokSettings) -> Detection:
    """The program on PATH."""
    asked = await ask_version("ngrok", "version", site, hint=GET_AGENT)
    if isinstance(asked, Detection):
        return asked
    return judge_version(asked.program, asked.lines, private=bool(settings.server))


def judge_version(program: str, lines: list[str], *, private: bool) -> Detection:
    """What the output of ``ngrok version`` says of ``program``; ``private`` when it is to go to an
    edge that is not ngrok's own. Pure."""
    match = next((found for line in lines[:5] if (found := _VERSION.match(line))), None)
    if match is None:
        why = f"{program} does not say that it is ngrok"
        return Detection(True, program, why_not=why, hint=GET_AGENT)
    version, numbers = match[0].removeprefix("ngrok version "), tuple(map(int, match.groups()))
    if numbers[0] == 2 and private:
        limits = (
            f"ngrok {version} tells nobody's address: the ip gate is refused",
            f"ngrok {version} ends a connection as soon as one side has said all",
        )
        return Detection(True, program, version, limits=limits)
    if numbers[0] < 3:
        why = f"ngrok's service refuses agents as old as {version} (ERR_NGROK_121)"
        return Detection(True, program, version, why_not=why, hint="update it: ngrok update")
    if numbers < OLDEST:
        why = f"ngrok {version} is older than 3.16"
        return Detection(True, program, version, why_not=why, hint="update it: ngrok update")
    return Detection(True, program, version)


def find_sdk() -> Detection:
    """The Python package; it is not imported."""
    if importlib.util.find_spec("ngrok") is None:
        return Detection(False, why_not="there is no Python package ngrok", hint=GET_SDK)
    try:
        version = importlib.metadata.version("ngrok")
    except importlib.metadata.PackageNotFoundError:
        why = "the Python package ngrok here is not ngrok's SDK"
        return Detection(True, SDK, why_not=why, hint=GET_SDK)
    return Detection(True, SDK, version)


def with_account(found: Detection, settings: NgrokSettings, site: Site) -> Detection:
    """``found``, with what is known of the account."""
    try:
        token = find_token(settings, site.environment)
    except UnderpassError as error:
        return replace(found, signed_in=False, why_not=error.message, hint=error.hint or GET_TOKEN)
    return replace(found, signed_in=token is not None)
