"""Who answers for what this process opens, unless somebody is named."""

from __future__ import annotations

import os
import pwd


def login_name() -> str:
    """The user's name; in a container whose users have none, the number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
