"""The driver of our own relay: needs no program, hands visitors over itself."""

from __future__ import annotations

from underpass.drivers.abilities import Abilities, refuse_unsupported
from underpass.drivers.base import Engine
from underpass.drivers.errors import EngineMissing, EngineOptionInvalid
from underpass.drivers.observations import Observation
from underpass.drivers.plans import Detection, DoorKind, ForeignTunnel, Plan, Site
from underpass.drivers.relay import RelayEngine
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

CAN = Abilities(tcp=True, addresses=True, tcp_addresses=True, reach=True, passthrough=True)


class RelayDriver:
    """See ``Driver``."""

    @property
    def name(self) -> str:
        """The engine's word."""
        return "relay"

    async def detect(self, site: Site) -> Detection:
        """It is always here."""
        from underpass import __version__

        return Detection(installed=True, program="underpass", version=__version__)

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        refuse_unsupported(self.name, spec, CAN)
        for option in site.options:
            why = "it takes none: --relay, --relay-ca and --relay-fingerprint say which relay"
            raise EngineOptionInvalid(self.name, option[:40], why)
        if site.relay is None:
            raise EngineMissing(self.name, "no relay is named, and none runs in this process")
        relay = site.relay.address
        if spec.kind is Kind.TCP and spec.exposure == "gated":
            visitors = f"underpass reach, with the token, through {relay}"
        else:
            visitors = f"an address of their own at {relay}"
        return Plan(self.name, visitors, secure=relay.secure, door=DoorKind.NONE)

    def read(self, line: str) -> Observation | None:
        """No program, no lines."""
        return None

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        self.plan(spec, site)
        assert site.relay is not None
        return RelayEngine(
            site.relay.address,
            site.relay.key,
            commitment=site.commitment,
            enrol_token=site.relay.enrol_token,
        )

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """What others of our processes carry is in ``underpass list``."""
        return ()
