"""Closer looks at one open tunnel, put together: what its origin opens to who looks local."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from underpass.assembly.errors import TrustUncheckable
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec
from underpass.prove.door import PublicAddress
from underpass.prove.trust import PATHS, is_sound
from underpass.prove.trust_probe import TrustProbe
from underpass.supervise.supervisor import Supervisor

TRUST_SCHEMA = "underpass/v1/trust"


class Examination:
    """Implements ``api.control.Examiner`` for one tunnel."""

    def __init__(self, spec: TunnelSpec) -> None:
        self.house: Gatehouse | None = None
        """Set as soon as there is one."""
        self._spec = spec
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
