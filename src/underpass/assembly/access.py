"""What a visitor needs to pass the gate, and the file it is kept in while the tunnel is open."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from underpass.guard.gates import Forged
from underpass.guard.secrets import Secret, private_directory, read_secret, write_secret
from underpass.model.errors import UnderpassError
from underpass.model.spec import TunnelSpec


@dataclass(frozen=True, slots=True)
class Access:
    """How visitors pass."""

    gate: str
    """``bearer``, ``basic``, ``link``, ``ip`` or ``public``."""
    token_file: Path | None = None
    """Where the credential is (0600); None when none is needed."""
    token: Secret | None = None
    """The token, ``USER:PASSWORD``, or the link's whole URL."""

    def forget(self) -> None:
        """Remove the file, if it still holds this credential. Idempotent."""
        if self.token_file is not None and self.token is not None:
            with suppress(OSError, UnderpassError):
                if read_secret(self.token_file) == self.token:
                    self.token_file.unlink(missing_ok=True)


def grant_access(spec: TunnelSpec, forged: Forged, url: str, path: Path) -> Access:
    """Write the credential of the first gate that has one. Raises ``SecretUnwritable``."""
    for gate in spec.every_gate:
        secret = forged.secrets.get(gate.kind)
        if secret is None:
            continue
        if gate.kind == "basic":
            secret = Secret(f"{gate.user}:{secret.reveal()}")
        elif gate.kind == "link":
            secret = Secret(f"{url.rstrip('/')}/{secret.reveal()}/")
        private_directory(path.parent)
        write_secret(path, secret)
        return Access(gate.kind, path, secret)
    return Access("public" if spec.public else spec.every_gate[0].kind)
