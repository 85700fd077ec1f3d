"""ssh as an engine: what is common to foreign programs, and coming in from its far end."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.kept_engine import Run
from underpass.drivers.plans import Plan
from underpass.drivers.ssh.command import CONFIG_FILE, CONTROL_SOCKET, shared_control
from underpass.drivers.ssh.configuration import last_hop
from underpass.drivers.ssh.control import ControlMaster, Forward
from underpass.drivers.ssh.dialling import FarDials
from underpass.drivers.ssh.settings import SshSettings
from underpass.drivers.ssh.shared import SharedForward


class SshEngine(ForeignEngine):
    """Visitors come to an address that means the same everywhere."""

    @property
    def control(self) -> ControlMaster:
        """The running ssh, ours or the one that is shared, as a control interface: more forwards
        on the same connection."""
        settings, directory = SshSettings.parse(self._site.options), self._site.directory
        return ControlMaster(
            shared_control(settings, self._site) or directory / CONTROL_SOCKET,
            directory / CONFIG_FILE,
            last_hop(settings),
            self.environment,
        )

    def _make_run(self, plan: Plan) -> Run:
        settings = SshSettings.parse(self._site.options)
        if not settings.control:
            return super()._make_run(plan)
        assert self._door is not None
        bind = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
        forward = Forward("R", f"{bind}:{settings.port}:{self._door.address}")
        return SharedForward(self.control, forward, plan.url, self._say, jitter=self._jitter)


class FarLoopbackEngine(SshEngine):
    """Visitors come from the far host itself: ``127.0.0.1`` means that host. Satisfies
    ``DialsPublic``: proofs come from there, too, over the same ssh connection to its sshd, whose
    listener leads back to us."""

    _dials: FarDials | None = None

    async def dial_public(self) -> socket.socket:
        """See ``DialsPublic``."""
        if self.plan is None:
            raise ConnectionRefusedError("ssh is not connected")
        parts, control = urlsplit(self.public_url), self.control
        self._dials = self._dials or FarDials()
        return await self._dials.dial(
            parts.hostname or "",
            parts.port or 0,
            control=control.control,
            configuration=control.configuration,
            hop=control.hop,
            environment=self.environment,
        )

    async def close(self) -> None:
        """See ``Engine``."""
        if self._dials is not None:
            await self._dials.close()
        await super().close()
