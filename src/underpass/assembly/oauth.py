"""The oauth gate of one tunnel put together: books, server, pages, keeper, provider.

Its packages (authlib, Jinja2, PyJWT) are imported only when a tunnel has such a gate.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from underpass.assembly.engines import Chosen
from underpass.gatehouse.oauth.origin import OriginPages
from underpass.guard.checks import Gate
from underpass.guard.gates import Forged, GateMaker, Materials
from underpass.guard.oauth.errors import OAuthNotInstalled, OAuthOptionInvalid, OAuthUrlChanges
from underpass.guard.oauth.origin_gate import OriginOAuthGate
from underpass.guard.secrets import read_secret
from underpass.model.gate_arguments import is_fetchable, parse_oauth
from underpass.model.gates import GateSpec
from underpass.model.options import OAuthOptions, OpenOptions
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec
from underpass.prove.clock import SystemClock
from underpass.supervise.supervisor import Supervisor

if TYPE_CHECKING:
    from underpass.gatehouse.oauth.desk import OAuthDesk
    from underpass.gatehouse.oauth.door import OAuthDoor
    from underpass.gatehouse.oauth.provider import Provider


@dataclass(slots=True)
class OAuthSite:
    """What ``open_tunnel`` needs of it."""

    desk: OAuthDesk | None
    """Our own authorization server; None when the origin brings its own."""
    pages: OAuthDoor | OriginPages
    makers: Mapping[str, GateMaker]
    _supervisor: Supervisor | None = None

    def attach(self, forged: Forged, spec: TunnelSpec, supervisor: Supervisor) -> None:
        """Say what the gates became, and who keeps the lease."""
        if self.desk is not None:
            assert not isinstance(self.pages, OriginPages)
            self.pages.networks = _networks(forged, spec)
            self.desk.on_waiting = lambda sign_in: supervisor.sign_in_waiting(
                sign_in.hint,
                sign_in.asked.client.name,
                sign_in.answer_to,
            )
        self._supervisor = supervisor

    def lease_left(self) -> float:
        """Seconds until the lease ends."""
        return 0.0 if self._supervisor is None else self._supervisor.lease_left()

    def lease_end(self) -> float:
        """The lease's end, unix seconds."""
        assert self._supervisor is not None
        return self._supervisor.status().lease.ends_at

    async def close(self) -> None:
        """Void all that was given, and end what is under way. Idempotent."""
        if self.desk is not None:
            self.desk.close()
            await self.desk.wait_closed()


def make_oauth(spec: TunnelSpec, options: OpenOptions) -> OAuthSite | None:
    """The parts of the oauth gate; None for a tunnel without one.

    Raises ``OAuthNotInstalled`` and ``OAuthOptionInvalid``.
    """
    asked = options.oauth
    gate = next((gate for gate in spec.every_gate if gate.kind == "oauth"), None)
    if gate is None:
        if asked != OAuthOptions():
            raise OAuthOptionInvalid("the options of oauth", "no gate of this tunnel is oauth")
        return None
    _check(spec, asked)
    if parse_oauth(gate.argument):
        if asked.provider is not None:
            raise OAuthOptionInvalid("--oauth-provider", "with oauth:origin the origin signs in")
        return _of_the_origin(spec)
    for module in ("authlib", "jinja2", "jwt"):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            raise OAuthNotInstalled(module) from None
    from underpass.gatehouse.oauth.desk import OAuthDesk
    from underpass.gatehouse.oauth.documents import Documents
    from underpass.gatehouse.oauth.door import OAuthDoor
    from underpass.gatehouse.oauth.fetch import Fetcher
    from underpass.guard.oauth.books import Books
    from underpass.guard.oauth.gate import OAuthGate
    from underpass.guard.oauth.keeping import ClientKeeper

    site: OAuthSite
    books = Books(now=SystemClock().now, lease_left=lambda: site.lease_left())
    desk = OAuthDesk(
        books,
        tunnel=spec.name or "of a random name",
        owner=spec.lease.owner or "the owner",
        path=guarded_path(spec),
        documents=Documents(Fetcher()),
        provider=_provider(asked),
        lease_end=lambda: site.lease_end(),
    )
    keeper = None if asked.changing_url else ClientKeeper(options.state_dir / "oauth")
    pages = OAuthDoor(desk, keeper)

    def make_gate(spec: GateSpec, materials: Materials) -> Gate:
        return OAuthGate(books)

    site = OAuthSite(desk, pages, {"oauth": make_gate})
    return site


def _of_the_origin(spec: TunnelSpec) -> OAuthSite:
    gate = OriginOAuthGate()
    pages = OriginPages(gate, guarded_path(spec))
    return OAuthSite(None, pages, {"oauth": lambda spec, materials: gate})


def check_url_lasts(spec: TunnelSpec, options: OpenOptions, chosen: Chosen) -> None:
    """Raise ``OAuthUrlChanges`` when the tunnel will have another URL the next time."""
    if options.oauth.changing_url:
        return
    if chosen.engine.name == "relay":
        if options.relay.url is None:
            raise OAuthUrlChanges("the relay of this process takes another port each time")
        if not spec.name:
            raise OAuthUrlChanges("without --name it gets a random one")
    elif not chosen.plan.url:
        raise OAuthUrlChanges(f"{chosen.engine.name} says only afterwards what it will be")


def guarded_path(spec: TunnelSpec) -> str:
    """The path of what clients dial: an MCP server's endpoint, or the one path that a rule puts
    oauth before; "" for all of the tunnel."""
    named = {
        path
        for rule in spec.rules
        if any(gate.kind == "oauth" for gate in rule.gates)
        for path in rule.paths
    }
    if spec.kind is Kind.MCP and spec.origin.path:
        return spec.origin.path
    if len(named) == 1 and not any(gate.kind == "oauth" for gate in spec.gates):
        return named.pop().removesuffix("*").rstrip("/")
    return ""


def _check(spec: TunnelSpec, asked: OAuthOptions) -> None:
    if any(gate.kind == "link" for gate in spec.every_gate):
        why = "a link's secret would stand in every address that clients are told"
        raise OAuthOptionInvalid("the gate oauth beside the gate link", why)
    named = (asked.provider, asked.client_id, asked.client_secret_file)
    if asked.provider is None:
        if any(named) or asked.allow:
            raise OAuthOptionInvalid("--oauth-client-id or --oauth-allow", "no --oauth-provider")
        return
    if not is_fetchable(asked.provider):
        why = "it is no https URL (http on loopback only), or has a query"
        raise OAuthOptionInvalid("--oauth-provider", why)
    if not asked.client_id:
        raise OAuthOptionInvalid("--oauth-provider", "--oauth-client-id is missing")
    if not asked.allow:
        why = "nobody is allowed: name people by --oauth-allow EMAIL or --oauth-allow sub:SUBJECT"
        raise OAuthOptionInvalid("--oauth-provider", why)
    for each in asked.allow:
        if each.count("@") != 1 and not each.startswith("sub:"):
            raise OAuthOptionInvalid("--oauth-allow", "it is neither EMAIL nor sub:SUBJECT")


def _provider(asked: OAuthOptions) -> Provider | None:
    if asked.provider is None:
        return None
    from underpass.gatehouse.oauth.fetch import Fetcher
    from underpass.gatehouse.oauth.provider import Provider

    file = asked.client_secret_file
    if file is not None:
        read_secret(file)  # what is wrong with it is said now
    return Provider(
        asked.provider,
        asked.client_id or "",
        None if file is None else lambda: read_secret(file),
        asked.allow,
        Fetcher(loopback=asked.provider.startswith("http:"), private=True),
    )


def _networks(forged: Forged, spec: TunnelSpec) -> tuple[tuple[Gate, ...], ...]:
    """For each way in that asks for a token: the ``ip`` gates that it asks for besides."""
    ways = [spec.gates, *(choice for rule in spec.rules for choice in rule.choices)]
    return tuple(
        tuple(forged.gates[str(gate)] for gate in way if gate.kind == "ip")
        for way in ways
        if any(gate.kind == "oauth" for gate in way)
    )
