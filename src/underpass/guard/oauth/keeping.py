"""Admitted clients on disk: what lets a client come back to a tunnel that was opened anew.

Kept are what clients told about themselves and the digest of a secret; tokens are not, since they
end with the lease. One private file for each issuer, written whole.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec

from underpass.guard.oauth.records import Client
from underpass.guard.secrets import private_directory, read_private, write_private
from underpass.model.errors import UnderpassError


class _Kept(msgspec.Struct):
    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    auth_method: str
    secret_hash: bytes
    grant_types: tuple[str, ...]


class _File(msgspec.Struct):
    issuer: str
    clients: list[_Kept]


class ClientKeeper:
    """Keeps clients below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, issuer: str) -> tuple[Client, ...]:
        """The clients that were admitted at ``issuer``; none when there is no usable file."""
        try:
            found = msgspec.json.decode(read_private(self._path(issuer)), type=_File)
        except (UnderpassError, OSError, msgspec.MsgspecError):
            return ()
        if found.issuer != issuer:
            return ()
        return tuple(Client(**msgspec.structs.asdict(each)) for each in found.clients)

    def save(self, issuer: str, clients: tuple[Client, ...]) -> None:
        """Keep ``clients`` for the next time. Raises ``SecretUnwritable``."""
        kept = [
            _Kept(
                each.client_id,
                each.name,
                each.redirect_uris,
                each.auth_method,
                each.secret_hash,
                each.grant_types,
            )
            for each in clients
        ]
        private_directory(self._directory)
        write_private(self._path(issuer), msgspec.json.encode(_File(issuer, kept)))

    def _path(self, issuer: str) -> Path:
        return self._directory / f"{sha256(issuer.encode()).hexdigest()[:32]}.json"
