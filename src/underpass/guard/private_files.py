"""Files and directories that only their owner may touch, on any Unix.

Nothing is followed and nothing is trusted by name: a file is opened without following a link, and
what is judged is the open file. Writing replaces the file as a whole, so that a reader sees the
old bytes or the new ones and never a loose mode.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from underpass.guard.errors import SecretUnreadable, SecretUnwritable
from underpass.model.errors_run import ForeignOwner, LooseMode, NotAPlainFile

MAX_FILE_BYTES: Final = 64 * 1024
"""Far above a key or a token; a file larger than that was named by mistake."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = 0o077


def read_private(path: Path) -> bytes:
    """The bytes of a file that is ours alone.

    Raises ``NotAPlainFile``, ``ForeignOwner``, ``LooseMode`` or ``SecretUnreadable``.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:  # EMLINK: FreeBSD's word for it
            raise NotAPlainFile(path=str(path), what="a symbolic link") from None
        if error.errno == errno.ENXIO:
            raise NotAPlainFile(path=str(path), what="a socket or a pipe") from None
        raise SecretUnreadable(path=str(path), why=_reason(error)) from None
    try:
        _judge(path, os.fstat(descriptor), is_directory=False)
        data = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise SecretUnreadable(path=str(path), why=f"it is larger than {MAX_FILE_BYTES} bytes")
    return data


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Store ``data`` in a 0600 file, durably and in one step.

    Without ``replace`` an existing file stays as it is and ``FileExistsError`` is raised, so that
    of two processes that both make a key one wins. Raises ``NotAPlainFile`` when a link or a
    directory stands there, and ``SecretUnwritable``.
    """
    if path.is_symlink():
        raise NotAPlainFile(path=str(path), what="a symbolic link")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(beside, data)
        try:
            if replace:
                beside.replace(path)
            else:
                os.link(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError:
        raise
    except IsADirectoryError:
        raise NotAPlainFile(path=str(path), what="a directory") from None
    except OSError as error:
        raise SecretUnwritable(path=str(path), why=_reason(error)) from None


def private_directory(path: Path) -> Path:
    """Make sure that ``path`` is a directory of ours alone, made with its parents if need be.

    Raises ``NotAPlainFile``, ``ForeignOwner``, ``LooseMode`` or ``SecretUnwritable``. What others
    can enter is refused, not repaired: they may have been there already.
    """
    try:
        for missing in reversed([path, *path.parents]):
            if not os.path.lexists(missing):
                missing.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise SecretUnwritable(path=str(path), why=_reason(error)) from None
    _judge(path, status, is_directory=True)
    return path


def _judge(path: Path, status: os.stat_result, *, is_directory: bool) -> None:
    mode = status.st_mode
    if not (stat.S_ISDIR if is_directory else stat.S_ISREG)(mode):
        raise NotAPlainFile(path=str(path), what=_what(mode))
    if status.st_uid != os.geteuid():
        raise ForeignOwner(path=str(path), owner=status.st_uid)
    if mode & _OTHERS:
        wanted = "0700" if is_directory else "0600"
        raise LooseMode(path=str(path), mode=f"{stat.S_IMODE(mode):04o}", wanted=wanted)


def _what(mode: int) -> str:
    for test, word in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISREG, "a file"),
    ):
        if test(mode):
            return word
    return "a socket, a pipe or a device"


def _write_new(path: Path, data: bytes) -> None:
    with open(os.open(path, _CREATE, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask took or an ACL gave
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or "it failed").lower()
