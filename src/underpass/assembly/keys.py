"""The key by which relays know this user on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from underpass.guard.errors import SecretUnreadable
from underpass.guard.secrets import private_directory, read_private, write_private

KEY_FILE: Final = "connector-key.pem"


def connector_key(state_dir: Path) -> Ed25519PrivateKey:
    """The key in ``state_dir``, made at first use.

    Raises ``LooseMode``, ``ForeignOwner`` or ``SecretUnreadable``.
    """
    private_directory(state_dir)
    path = state_dir / KEY_FILE
    if not path.exists():
        fresh = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        try:
            write_private(path, fresh, replace=False)
        except FileExistsError:
            pass  # another process was first: its key is ours too
    try:
        key = load_pem_private_key(read_private(path), password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretUnreadable(path=str(path), why="it is not an Ed25519 key in PEM")
    return key
