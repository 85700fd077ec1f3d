"""The parts of one tunnel, made when they are needed: gatehouse, probes, public door."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from underpass import __version__
from underpass.assembly.access import Access, grant_access
from underpass.assembly.engines import Chosen
from underpass.assembly.examination import Examination
from underpass.assembly.oauth import OAuthSite
from underpass.assembly.observation import Watched
from underpass.assembly.origin import Delivery
from underpass.assembly.preflight import Preflight
from underpass.drivers.base import (
    DialsPublic,
    DialsReach,
    GuardsOutside,
    Opened,
    ReadsPages,
)
from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.control_ports import ControlPorts
from underpass.guard.gates import Forged
from underpass.guard.mtls import ask_for_certificates
from underpass.guard.policy import Policy
from underpass.model.options import OpenOptions
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec
from underpass.prove.clock import SystemClock
from underpass.prove.door import Door, PublicAddress, Trust
from underpass.prove.http_probe import HttpProbe
from underpass.prove.probes import Identity, Probes
from underpass.prove.strangers import foreign_address
from underpass.prove.streaming.examination import Subject
from underpass.prove.tcp_doors import PublicPort, ReachDoor, TcpDoor
from underpass.prove.tcp_probe import TcpProbe
from underpass.relay.connector.address import RelayAddress
from underpass.relay.connector.dial import proxy_for
from underpass.supervise.parts import House, Parts
from underpass.supervise.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Site:
    """What the parts of one tunnel share."""

    spec: TunnelSpec
    options: OpenOptions
    chosen: Chosen
    forged: Forged
    delivery: Delivery
    preflight: Preflight
    oauth: OAuthSite | None
    watched: Watched | None
    examination: Examination

    @property
    def address(self) -> RelayAddress | None:
        """Our relay's, if it carries the tunnel."""
        relay = self.chosen.site.relay
        return None if relay is None else relay.address

    def supervise(self, policy: Policy) -> Supervisor:
        """The supervisor, with the makers of its parts."""
        spec = self.spec
        identity = Identity(spec.name or "tunnel", secrets.token_hex(8), secrets.token_bytes(32))
        context = _passthrough_context(self.options, spec) if spec.tls == "passthrough" else None

        def make_house(on_exchange: Callable[[ExchangeRecord], None]) -> House:
            settings = GatehouseSettings(
                origin=self.delivery.origin,
                kind=spec.kind,
                name=identity.name,
                instance=identity.instance,
                proof_key=identity.key,
                host_header=spec.host_header,
                cors=spec.cors,
                # A bridge must know whose a session is.
                tells_visitor=self.options.tell_visitor or bool(spec.origin.command),
                health_path=self.delivery.health_path,
                peer=spec.peer,
            )
            house = Gatehouse(
                settings,
                self.forged.guard,
                on_exchange=on_exchange,
                permit=self.preflight.permits,
                tls=context,
                pages=None if self.oauth is None else self.oauth.pages,
                observer=None if self.watched is None else self.watched.observer,
            )
            if self.watched is not None:
                self.watched.house = house
            self.examination.house = house
            return house

        def make_probes(opened: Opened, house: House) -> Probes:
            assert isinstance(house, Gatehouse)
            return self._probes(opened, house, identity)

        return Supervisor(
            spec,
            self.chosen.engine,
            Parts(make_house, make_probes, self.options.run),
            check_renewal=lambda seconds: policy.check_seconds(spec, seconds),
            reach=self._reach(),
        )

    def _reach(self) -> dict[str, object]:
        relay = self.address
        if relay is None:
            plan = self.chosen.plan
            way = {"visitors": plan.visitors, "limits": list(plan.limits)}
            return {"relay": None, "tls": self.spec.tls, "embedded": False, **way}
        return {
            "relay": str(relay),
            "ca": None if relay.ca is None else str(relay.ca),
            "fingerprint": None if relay.fingerprint is None else relay.fingerprint.hex(),
            "tls": self.spec.tls,
            "embedded": self.options.relay.url is None,
        }

    def grant(self, supervisor: Supervisor) -> Access:
        """Write the visitors' credential."""
        path = self.options.token_file or (
            self.options.state_dir / "tokens" / f"{supervisor.name}.token"
        )
        return grant_access(self.spec, self.forged, supervisor.status().url or "", path)

    def door(self, url: str) -> Door:
        """The public door at ``url``, as any visitor finds it."""
        relay, engine = self.address, self.chosen.engine
        public = PublicAddress.parse(url)
        trust = Trust() if relay is None else Trust(relay.ca, relay.fingerprint)
        dialler = engine.dial_public if isinstance(engine, DialsPublic) else None
        if self.spec.kind is Kind.TCP:
            return Door(public, trust, dialler=dialler)
        if not public.secure:
            return Door(public, Trust(), dialler=dialler)
        return Door(public, trust, proxy_for(public.host), dialler)

    def _probes(self, opened: Opened, house: Gatehouse, identity: Identity) -> Probes:
        spec = self.spec
        cidrs = [cidr for gate in spec.every_gate for cidr in gate.cidrs]
        stranger = foreign_address(cidrs) if cidrs else None
        relay, engine = self.address, self.chosen.engine
        if spec.kind is Kind.TCP:
            door: TcpDoor
            if opened.public_url:
                door = PublicPort(self.door(opened.public_url))
            else:
                assert isinstance(engine, DialsReach)
                token = self.forged.secrets["bearer"]
                door = ReachDoor(engine, token, secure=relay is not None and relay.secure)
            return TcpProbe(door, house, identity, SystemClock(), stranger=stranger)
        public = self.door(opened.public_url)
        fields = engine.passing_fields if isinstance(engine, GuardsOutside) else list
        self.examination.subject = Subject(
            tunnel=identity.name,
            kind=str(spec.kind),
            engine=engine.name,
            tls=spec.tls,
            version=__version__,
            house=house,
            door=public,
            identity=identity,
            fields=fields,
        )
        return HttpProbe(
            public,
            identity,
            SystemClock(),
            stranger=stranger,
            gate_kinds=self.forged.guard.kinds,
            closed_paths=self.forged.guard.closed_paths(),
            fields=fields,
            read_page=engine.read_page if isinstance(engine, ReadsPages) else None,
        )


def permit(spec: TunnelSpec, delivery: Delivery, doors: ControlPorts, host: str, port: int) -> bool:
    """Whether a connection there meets no door of ours."""
    if delivery.is_ours:
        return True
    if spec.origin.is_unix:
        return doors.what_is_socket(host) is None
    doors.refresh(time.monotonic())
    return doors.what_is(host, port) is None


def _passthrough_context(options: OpenOptions, spec: TunnelSpec) -> ssl.SSLContext:
    """TLS as this end speaks it to visitors whose TLS the relay does not end."""
    assert options.tls_cert is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    context.set_alpn_protocols(["http/1.1"])
    ask_for_certificates(context, spec.every_gate)
    return context
