"""One tunnel put together: opened, proved, kept, closed without a trace."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

from platformdirs import user_config_path

from underpass.api.places import socket_path
from underpass.assembly.access import Access
from underpass.assembly.engines import choose
from underpass.assembly.examination import Examination
from underpass.assembly.keys import connector_key
from underpass.assembly.materials import make_materials
from underpass.assembly.oauth import OAuthSite, check_url_lasts, make_oauth
from underpass.assembly.observation import Watched, serve_metrics, watch
from underpass.assembly.origin import deliver
from underpass.assembly.preflight import Preflight
from underpass.assembly.relay import embed_relay
from underpass.assembly.site import Site, permit
from underpass.drivers.base import (
    Engine,
    GuardsOutside,
    LinkPhase,
    LinkView,
)
from underpass.drivers.orphans import claim, sweep
from underpass.drivers.plans import RelaySite
from underpass.guard.control_ports import ControlPorts
from underpass.guard.gates import forge
from underpass.guard.policy import load_policy
from underpass.guard.secrets import private_directory, read_secret
from underpass.model.errors_relay import relay_refusal
from underpass.model.options import OpenOptions, RelayAccess
from underpass.model.origin import Origin
from underpass.model.spec import TunnelSpec
from underpass.model.status import TunnelStatus
from underpass.model.verdict import Verdict
from underpass.relay.connector.address import parse_relay
from underpass.supervise.changes import Subscription
from underpass.supervise.reasons import why_not_proved
from underpass.supervise.supervisor import Supervisor

POLICY_FILE = "policy.toml"


class OpenTunnel:
    """A tunnel whose first proof has passed. ``close`` it, or use it as a context manager."""

    def __init__(
        self,
        supervisor: Supervisor,
        engine: Engine,
        relay: str,
        access: Access,
        verdict: Verdict,
        examination: Examination,
        stack: AsyncExitStack,
    ) -> None:
        self.access = access
        self.verdict = verdict
        """Of the first proof."""
        self.control = supervisor
        """What the API serves."""
        self.engine = engine
        """What carries it."""
        self.examination = examination
        """Closer looks than a proof takes."""
        self._relay = relay
        self._stack = stack
        self._closing: asyncio.Task[None] | None = None
        self._ended: LinkView | None = None
        engine.observe(self._link_changed)

    @property
    def url(self) -> str | None:
        """Where visitors come; None for a tunnel that is met by ``underpass reach`` only."""
        return self.status().url

    @property
    def origin_exit_code(self) -> int | None:
        """Exit code of the program that ``--run`` started; None while it runs, and without one."""
        return self.control.origin_exit_code

    def status(self) -> TunnelStatus:
        """The present snapshot."""
        return self.control.status()

    def events(self) -> Subscription:
        """Changes from this call on, each as a JSON object; ``closed`` is the last."""
        return self.control.subscribe()

    async def prove(self) -> Verdict:
        """Prove it now, through its public door; the verdict, passed or not."""
        return await self.control.prove()

    async def renew(self, seconds: int) -> TunnelStatus:
        """Move the lease's end to ``seconds`` from now; raises ``Refused`` beyond policy."""
        return await self.control.renew(seconds)

    async def wait_closed(self) -> str:
        """Wait until nothing of the tunnel is left; returns why it was closed.

        Raises what ended it when that is an error: superseded, key revoked, …
        """
        reason = await self.control.wait_closed()
        await self.close()
        if self._ended is not None and self._ended.error is not None:
            raise self._ended.error
        if self._ended is not None:
            raise relay_refusal(self._ended.code, relay=self._relay, name=self.control.name)
        return reason

    async def close(self) -> None:
        """Close it: name, links, sockets, child and files. Idempotent.

        A caller that is cancelled stops waiting; the closing goes on.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._stack.aclose(), name="close the tunnel")
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> OpenTunnel:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _link_changed(self, view: LinkView) -> None:
        if view.phase is LinkPhase.ENDED:
            self._ended = view


async def open_tunnel(spec: TunnelSpec, options: OpenOptions) -> OpenTunnel:
    """Open and prove a tunnel within ``options.timeout``.

    Raises what the spec, the policy, the files, the relay or the proof are at fault with; nothing
    is left behind then.
    """
    policy = load_policy(user_config_path("underpass", appauthor=False) / POLICY_FILE)
    policy.check(spec)
    policy.check_reason(options.accept_danger)
    private_directory(options.runtime_dir)
    await asyncio.to_thread(sweep, options.runtime_dir)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_let_transports_end)
        # Ended last: who asked for the closing over it hears when nothing else is left.
        api = await stack.enter_async_context(AsyncExitStack())
        doors = stack.enter_context(ControlPorts(options.runtime_dir))
        addresses = await _resolve(spec.origin)
        doors.check(spec.origin, addresses)
        oauth = make_oauth(spec, options)
        makers = {} if oauth is None else oauth.makers
        materials = await make_materials(spec, options, stack)
        forged = forge(
            spec.gates, rules=spec.rules, public=spec.public, makers=makers, materials=materials
        )
        directory = Path(tempfile.mkdtemp(prefix="engine-", dir=options.runtime_dir))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        claim(directory)
        delivery = await deliver(spec, options.runtime_dir, stack)
        preflight = Preflight(
            spec, options, forged.guard, delivery.origin, partial(permit, spec, delivery, doors)
        )
        await preflight.check(address for address, _ in addresses)
        chosen = await choose(
            spec,
            directory=directory,
            commitment=forged.guard.commitment(),
            options=dict(options.engine_options),
            relay=lambda: _find_relay(options, stack, doors),
        )
        watched = await watch(spec, options, policy, chosen, stack)
        examination = Examination(spec, options.state_dir)
        site = Site(
            *(spec, options, chosen, forged, delivery, preflight, oauth, watched, examination)
        )
        supervisor = site.supervise(policy)
        await serve_metrics(watched, options, doors, stack)
        if oauth is not None:
            check_url_lasts(spec, options, chosen)
            oauth.attach(forged, spec, supervisor)
            stack.push_async_callback(oauth.close)
        verdict = await preflight.while_opening(supervisor.open(options.timeout))
        stack.push_async_callback(supervisor.close)
        if watched is not None:
            watched.attach(supervisor)
        verdict = await _guard_outside(site, supervisor) or verdict
        granted = site.grant(supervisor)
        stack.callback(granted.forget)
        await _serve_api(api, supervisor, options.runtime_dir, oauth, watched, examination)
        kept = stack.pop_all()
        whom = str(site.address or chosen.engine.name)
        return OpenTunnel(supervisor, chosen.engine, whom, granted, verdict, examination, kept)


async def _guard_outside(site: Site, supervisor: Supervisor) -> Verdict | None:
    """Put a vendor's gate in front of what is proved, and prove it again; None: there is none."""
    engine = site.chosen.engine
    if not isinstance(engine, GuardsOutside) or not await engine.guard():
        return None
    verdict = await supervisor.prove()
    if not verdict.ok:
        raise why_not_proved(site.spec, supervisor.name, verdict, 0.0)
    return verdict


async def _find_relay(
    options: OpenOptions, stack: AsyncExitStack, doors: ControlPorts
) -> RelaySite:
    """The relay that was named, or one in this process, which ends with ``stack``."""
    key = await asyncio.to_thread(connector_key, options.state_dir)
    access = options.relay
    if access.url is None:
        embedded = await embed_relay(options.runtime_dir, key)
        stack.push_async_callback(embedded.close)
        access = RelayAccess(url=embedded.url)
    address = parse_relay(access)
    if access is not options.relay:
        doors.register("127.0.0.1", address.port, "the relay of this process")
    return RelaySite(address, key, _token_reader(options.enrol_token_file))


async def _resolve(origin: Origin) -> list[tuple[str, int]]:
    """The pairs that the origin's name leads to now; none if it leads nowhere yet."""
    if origin.is_unix or origin.command:
        return []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port)
    except OSError:
        return []  # the first proof will say so
    return [(str(entry[4][0]), origin.port) for entry in found]


def _token_reader(path: Path | None) -> Callable[[], str] | None:
    return None if path is None else lambda: read_secret(path).reveal()


async def _serve_api(
    stack: AsyncExitStack,
    supervisor: Supervisor,
    directory: Path,
    oauth: OAuthSite | None,
    watched: Watched | None,
    examination: Examination,
) -> None:
    # uvicorn and starlette cost as much as the first proof: they are imported after it
    from underpass.api.server import ApiServer

    path = socket_path(directory, supervisor.name, os.getpid())
    desk = None if oauth is None else oauth.desk
    desks = {} if desk is None else {supervisor.name: desk}
    observed = {} if watched is None else {supervisor.name: watched}
    examination.attach(supervisor)
    examined = {supervisor.name: examination}
    server = ApiServer(path, {supervisor.name: supervisor}, desks, observed, examined)
    await server.start()
    stack.push_async_callback(server.stop)


async def _let_transports_end() -> None:
    """A transport that was closed or aborted is gone a turn of the loop or two later; whoever has
    closed a tunnel may end the loop at once."""
    for _ in range(3):
        await asyncio.sleep(0)
