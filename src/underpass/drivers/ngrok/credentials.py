"""Where the authtoken is: a variable, a private file, or ngrok's own configuration."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from underpass.drivers.ngrok.settings import NgrokSettings
from underpass.guard.private_files import read_private
from underpass.guard.secrets import Secret, read_secret

_TOKEN_LINE: Final = re.compile(
    rb"""^[ \t]*authtoken:[ \t]*["']?([A-Za-z0-9_.~+/=-]{1,512})["']?[ \t]*(?:\#.*)?$""",
    re.MULTILINE,
)


def find_token(settings: NgrokSettings, environment: Mapping[str, str]) -> Secret | None:
    """The token, None where there is none.

    Raises what ``read_private`` raises for a file that is there and not as it should be, and for
    one that was named and is not there.
    """
    told = environment.get(settings.token_variable, "").strip()
    if told:
        return Secret(told)
    if settings.token_file:
        return read_secret(Path(settings.token_file))
    for path in own_configurations(environment):
        if path.is_file():
            found = _TOKEN_LINE.search(read_private(path))
            if found is not None:
                return Secret(found[1].decode("ascii"))
    return None


def own_configurations(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where ngrok keeps its own configuration, newest habit first."""
    home = environment.get("HOME", "")
    if not home:
        return ()
    if sys.platform == "darwin":
        new = Path(home, "Library", "Application Support", "ngrok", "ngrok.yml")
    else:
        base = environment.get("XDG_CONFIG_HOME", "")
        new = Path(base or Path(home, ".config")) / "ngrok" / "ngrok.yml"
    return (new, Path(home, ".ngrok2", "ngrok.yml"))
