"""Where the API sockets are: the runtime directory, its rules, and how sockets are named.

    $XDG_RUNTIME_DIR/underpass/open-NAME-PID.sock     (UNDERPASS_RUNTIME_DIR names the directory)

Kept to the standard library, and ``platformdirs`` where no variable is set, because ``list``
imports it and has 150 ms.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from underpass.api.errors import SocketPathTooLong
from underpass.model.errors_run import ForeignOwner, LooseMode

PATH_LIMIT = 103 if sys.platform == "darwin" else 107
"""Bytes of ``sun_path`` without its final NUL."""

_SOCKET_NAME = re.compile(r"open-(?P<name>.+)-(?P<pid>[0-9]+)\.sock")


@dataclass(frozen=True, slots=True)
class SocketName:
    """What a socket's file name says: a hint for people, never the truth about a tunnel."""

    name: str
    pid: int


def runtime_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of the sockets, whether or not it exists yet."""
    if named := environ.get("UNDERPASS_RUNTIME_DIR"):
        return Path(named)
    if sys.platform != "darwin" and (base := environ.get("XDG_RUNTIME_DIR")):
        return Path(base, "underpass")
    import warnings

    from platformdirs import user_runtime_path

    with warnings.catch_warnings():
        # It warns where there is no session's directory; ours is private wherever it lies.
        warnings.simplefilter("ignore")
        return user_runtime_path("underpass", appauthor=False)


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of keys, tokens and databases, whether or not it exists yet."""
    if named := environ.get("UNDERPASS_STATE_DIR"):
        return Path(named)
    from platformdirs import user_state_path

    return user_state_path("underpass", appauthor=False)


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of ``underpass.toml`` and ``policy.toml``, whether or not it exists yet."""
    if base := environ.get("XDG_CONFIG_HOME"):
        return Path(base, "underpass")
    from platformdirs import user_config_path

    return user_config_path("underpass", appauthor=False)


def make_private_dir(path: Path) -> None:
    """Make ``path`` with mode 0700, or refuse one that others own or may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_private(path)


def require_private(path: Path) -> None:
    """Refuse a directory or socket of another user, or one that others may use."""
    found = path.lstat()
    if found.st_uid != os.getuid():
        raise ForeignOwner(str(path), found.st_uid)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise LooseMode(str(path), f"{mode:04o}", "0700" if stat.S_ISDIR(found.st_mode) else "0600")


def socket_path(directory: Path, name: str, pid: int) -> Path:
    """Where the ``open`` of ``name`` in process ``pid`` serves; long names are cut short."""
    path = directory / f"open-{name}-{pid}.sock"
    if len(os.fsencode(path)) > PATH_LIMIT:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        path = directory / f"open-{name[:8]}~{digest}-{pid}.sock"
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise SocketPathTooLong(str(path), PATH_LIMIT)
    return path


def read_socket_name(path: Path) -> SocketName | None:
    """Name and process of a socket of ours; None for any other file."""
    match = _SOCKET_NAME.fullmatch(path.name)
    return SocketName(match["name"], int(match["pid"])) if match else None
