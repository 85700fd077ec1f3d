"""ssh as an engine: what is common to foreign programs, and coming in from its far end."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.ssh.control import ControlMaster
from underpass.drivers.ssh.dialling import FarDials


class SshEngine(ForeignEngine):
    """Visitors come to an address that means the same everywhere."""

    @property
    def control(self) -> ControlMaster:
        """The running ssh as a control interface: more forwards on the same connection."""
        if self.plan is None:
            raise RuntimeError("control before open")
        words = self.plan.argv
        return ControlMaster(
            Path(words[words.index("-S") + 1]),
            Path(words[words.index("-F") + 1]),
            words[-1],
            self.environment,
        )


class FarLoopbackEngine(SshEngine):
    """Visitors come from the far host itself: ``127.0.0.1`` means that host. Satisfies
    ``DialsPublic``: proofs come from there, too, over the same ssh connection to its sshd, whose
    listener leads back to us."""

    _dials: FarDials | None = None

    async def dial_public(self) -> socket.socket:
        """See ``DialsPublic``."""
        if self.plan is None:
            raise ConnectionRefusedError("ssh is not connected")
        parts, words = urlsplit(self.public_url), self.plan.argv
        self._dials = self._dials or FarDials()
        return await self._dials.dial(
            parts.hostname or "",
            parts.port or 0,
            control=Path(words[words.index("-S") + 1]),
            configuration=Path(words[words.index("-F") + 1]),
            hop=words[-1],
            environment=self.environment,
        )

    async def close(self) -> None:
        """See ``Engine``."""
        if self._dials is not None:
            await self._dials.close()
        await super().close()
