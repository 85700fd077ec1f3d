"""Closer looks at one open tunnel, put together: what its origin opens to who looks local, and how
the tunnel carries streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from underpass.assembly.errors import TrustUncheckable
from underpass.assembly.keys import connector_key
from underpass.assembly.measuring import Measuring
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec
from underpass.prove.door import PublicAddress
from underpass.prove.streaming.errors import StreamUnmeasurable
from underpass.prove.streaming.examination import Subject
from underpass.prove.streaming.results import Parameters
from underpass.prove.trust import PATHS, is_sound
from underpass.prove.trust_probe import TrustProbe
from underpass.supervise.supervisor import Supervisor

TRUST_SCHEMA = "underpass/v1/trust"


class Examination:
    """Implements ``api.control.Examiner`` for one tunnel."""

    def __init__(self, spec: TunnelSpec, state_dir: Path) -> None:
        self.house: Gatehouse | None = None
        """Set as soon as there is one."""
        self._spec = spec
        self.subject: Subject | None = None
        """What is measured: the public door, set as soon as there is one."""
        self._state_dir = state_dir
        self._supervisor: Supervisor | None = None

    def attach(self, supervisor: Supervisor) -> None:
        """Its name and URL are those of ``supervisor`` from now on."""
        self._supervisor = supervisor

    async def trust(self, paths: Sequence[str]) -> Mapping[str, object]:
        """See ``Examiner``. Raises ``TrustUncheckable``."""
        assert self._supervisor is not None
        name, url = self._supervisor.name, self._supervisor.status().url
        if self._spec.kind is Kind.TCP:
            raise TrustUncheckable(name, "it carries bytes, and no paths")
        if not url or self.house is None:
            raise TrustUncheckable(name, "it has no public address yet")
        probe = TrustProbe(self._spec, self.house.deliver, _authority(url, name))
        judged = await probe.examine(paths or _usual(self._spec))
        return {
            "schema": TRUST_SCHEMA,
            "tunnel": name,
            "ok": is_sound(judged),
            "peer": self._spec.peer,
            "source": probe.stranger_address,
            "host_header": self._spec.host_header,
            "paths": [each.to_dict() for each in judged],
        }

    def stream(self, asked: Parameters) -> Measuring:
        """See ``Examiner``. Raises ``StreamUnmeasurable``."""
        assert self._supervisor is not None
        name = self._supervisor.name
        if self._spec.kind is Kind.TCP:
            raise StreamUnmeasurable(name, "it carries bytes, and no event streams")
        if self.subject is None:
            raise StreamUnmeasurable(name, "it has no public address yet")
        return Measuring(replace(self.subject, tunnel=name), asked, connector_key(self._state_dir))


def _authority(url: str, name: str) -> str:
    """What visitors from elsewhere say in Host. Nobody out there says 127.0.0.1, which many an
    origin would take for its own machine: a tunnel on loopback is asked for by its other name."""
    address = PublicAddress.parse(url)
    if address.host in ("127.0.0.1", "::1", "localhost"):
        return f"{name}.localhost:{address.port}"
    return address.authority


def _usual(spec: TunnelSpec) -> tuple[str, ...]:
    health = (spec.health_path,) if spec.health_path else ()
    return tuple(dict.fromkeys((*health, *PATHS)))
