"""A relay as its users see it: real sockets, real connectors, raw visitors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.gatehouse.ports import Exchange, Peer, Visitor
from underpass.guard.secrets import read_secret
from underpass.http.messages import RequestHead, ResponseHead
from underpass.model.errors import UnderpassError
from underpass.model.errors_run import LooseMode
from underpass.model.options import RelayAccess, RelayOptions
from underpass.relay.connector.address import parse_relay
from underpass.relay.connector.connector import Connector
from underpass.relay.connector.dial import Dialler, Doorway
from underpass.relay.edges.certificates import CertificateUnusable
from underpass.relay.links.websocket import LINK_PATH
from underpass.relay.protocol.frames import ALPN_LINK, LINK_MAGIC
from underpass.relay.protocol.records import Terms
from underpass.relay.server.errors import CannotListen, RelayMisconfigured
from underpass.relay.server.key_text import key_text
from underpass.relay.server.keys import revoke_key
from underpass.relay.server.names import release_name
from underpass.relay.server.serve import RunningRelay, serve
from underpass.relay.server.sqlite_registry import open_registry

WITHIN = 15.0
END = 4_000_000_000.0


class Echo:
    """An exchange of bytes that come back."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def data_received(self, data: bytes | memoryview) -> None:
        self.visitor.send_data(bytes(data))
        self.visitor.drained(len(data))

    def trailers_received(self, trailers: Any) -> None: ...

    def end_received(self) -> None:
        self.visitor.send_end()

    def visitor_left(self, code: str) -> None: ...

    def answer_unwanted(self, code: str) -> None: ...

    def resume_writing(self) -> None: ...


class Held(Echo):
    """An exchange that waits to be told to answer."""

    def data_received(self, data: bytes | memoryview) -> None: ...

    def end_received(self) -> None: ...


class House:
    """Stands in for a gatehouse: says hello, echoes bytes, holds what is asked at /held."""

    def __init__(self) -> None:
        self.held: asyncio.Queue[Visitor] = asyncio.Queue()

    def open_http(self, visitor: Visitor, head: RequestHead, peer: Peer) -> Exchange:
        if head.target == b"/held":
            self.held.put_nowait(visitor)
            return Held(visitor)
        visitor.send_head(ResponseHead(200, b"OK", [], 5), b"hello", end=True)
        return Held(visitor)

    def open_bytes(self, visitor: Visitor, peer: Peer) -> Exchange:
        return Echo(visitor)

    def open_reach(self, visitor: Visitor, peer: Peer, token: str) -> Exchange:
        return Echo(visitor)

    def open_tls(self, visitor: Visitor, peer: Peer) -> Exchange:
        return Echo(visitor)


class World:
    """Makes relays and connectors, and ends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.house = House()
        self.key = Ed25519PrivateKey.generate()
        self.relays: list[RunningRelay] = []
        self.connectors: list[Connector] = []

    async def relay(self, **settings: Any) -> RunningRelay:
        keys = self.directory / "authorised-keys"
        keys.write_text(key_text(self.key.public_key().public_bytes_raw()))
        given = {
            "state_dir": self.directory / "state",
            "authorised_keys": keys,
            "listen": ("127.0.0.1", 0),
            "dev": True,
            **settings,
        }
        relay = await serve(RelayOptions(**given))
        self.relays.append(relay)
        return relay

    async def connector(
        self,
        relay: RunningRelay,
        name: str = "tools",
        *,
        key: Ed25519PrivateKey | None = None,
        access: RelayAccess | None = None,
        on_ended: Callable[[UnderpassError], None] | None = None,
        **terms: Any,
    ) -> Connector:
        address = parse_relay(access or RelayAccess(url=relay.link_url))
        connector = Connector(
            dialler=Dialler(address, Doorway(LINK_MAGIC, ALPN_LINK, LINK_PATH)),
            key=key or self.key,
            carrier=self.house,
            terms=Terms(**{"kind": "http", "lease_end": END, **terms}),
            name=name,
            enrol_token=lambda: read_secret(relay.enrol_token_file).reveal(),
            on_ended=on_ended,
        )
        await connector.open()
        self.connectors.append(connector)
        await until(lambda: all(slot.is_attached for slot in connector._slots))
        return connector

    async def close(self) -> None:
        for connector in self.connectors:
            await connector.close()
        for relay in self.relays:
            await relay.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await asyncio.wait_for(world.close(), WITHIN)


async def ask(url: str, path: str = "/", host: str = "") -> tuple[int, dict[str, str], bytes]:
    """One GET over a connection of its own."""
    address = url.split("://")[1]
    name, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    return await asyncio.wait_for(exchange(reader, writer, path, host or address), WITHIN)


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, host: str
) -> tuple[int, dict[str, str], bytes]:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    try:
        raw = await reader.read(-1)
    finally:
        writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields, body


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_asked(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class TestDevelopment:
    async def test_a_tunnel_gets_a_loopback_port_of_its_own(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        url = connector.welcome.public_url
        assert url.startswith("http://127.0.0.1:")
        assert url != relay.public_url
        assert (await ask(url))[::2] == (200, b"hello")

    async def test_the_port_answers_to_its_own_hosts_alone(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        url = connector.welcome.public_url
        assert (await ask(url, host="evil.example"))[0] == 421

    async def test_the_port_stays_while_the_connector_is_away(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        assert relay._front is not None
        relay._front.http.limits = _impatient()
        url = connector.welcome.public_url
        for slot in connector._slots:
            slot.give_up("vanished")
        connector.end(CannotListen("", ""))
        await until(lambda: relay.statistics().tunnels_linked == 0)
        status, fields, _ = await ask(url)
        assert (status, fields["underpass-error"]) == (503, "connector-away")

    async def test_the_port_stays_after_a_restart(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        url = connector.welcome.public_url
        await relay.close()
        relay = await world.relay(listen=("127.0.0.1", int(relay.public_url.split(":")[2])))
        await until(lambda: relay.statistics().links == 2)
        assert (await ask(url))[::2] == (200, b"hello")
        assert connector.welcome.public_url == url
        assert connector.epoch == 2

    async def test_a_closed_tunnel_is_no_tunnel(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        await connector.close()
        assert relay.statistics().tunnels == 0
        status, fields, _ = await ask(connector.welcome.public_url)
        assert (status, fields["underpass-error"]) == (503, "no-such-tunnel")

    async def test_an_unknown_host_is_no_tunnel(self, world: World) -> None:
        relay = await world.relay()
        status, fields, _ = await ask(relay.public_url, host="nobody.localhost")
        assert (status, fields["underpass-error"]) == (503, "no-such-tunnel")

    async def test_an_open_tcp_tunnel_gets_a_port(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay, kind="tcp", exposure="open")
        assert connector.welcome is not None
        scheme, _, address = connector.welcome.public_url.partition("://")
        assert scheme == "tcp"
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"back and forth")
        assert await asyncio.wait_for(reader.readexactly(14), WITHIN) == b"back and forth"
        writer.close()

    async def test_a_gated_tcp_tunnel_gets_none(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay, kind="tcp")
        assert connector.welcome is not None
        assert connector.welcome.public_url == ""
        assert relay.statistics().ports == 0

    async def test_random_names_leave_no_port_behind(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay, "")
        assert relay.statistics().ports == 1
        await connector.close()
        assert relay.statistics().ports == 0
        assert await relay.registry.names() == ()


class TestLeases:
    async def test_a_lease_ends_though_the_connector_stays(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        url = connector.welcome.public_url
        granted = await connector.renew(relay_now() + 0.3)
        assert granted < END

        async def is_gone() -> bool:
            status, fields, _ = await ask(url)
            return (status, fields.get("underpass-error")) == (503, "no-such-tunnel")

        await until_asked(is_gone)

    async def test_a_renewal_is_granted_and_stored(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay, lease_end=relay_now() + 100)
        asked = relay_now() + 7200
        assert await connector.renew(asked) == asked
        record = await relay.registry.name("tools")
        assert record is not None
        assert record.lease_end == asked

    async def test_a_renewal_survives_a_restart(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay, lease_end=relay_now() + 100)
        asked = await connector.renew(relay_now() + 7200)
        await relay.close()
        relay = await world.relay(listen=("127.0.0.1", int(relay.public_url.split(":")[2])))
        await until(lambda: relay.statistics().links == 2)
        record = await relay.registry.name("tools")
        assert record is not None
        assert record.lease_end == asked

    async def test_an_ended_lease_is_forgotten_at_a_restart(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay, lease_end=relay_now() + 0.2)
        connector.end(CannotListen("", ""))
        await relay.close()
        await asyncio.to_thread(_wait_for_clock, relay_now() + 0.2)
        relay = await world.relay()
        assert relay.statistics().tunnels == 0
        record = await relay.registry.name("tools")
        assert record is not None
        assert record.terms is None


class TestOperator:
    async def test_a_token_enrols_a_new_key(self, world: World) -> None:
        relay = await world.relay()
        stranger = Ed25519PrivateKey.generate()
        connector = await world.connector(relay, key=stranger)
        assert connector.name == "tools"
        keys = await relay.registry.keys()
        assert [key.public for key in keys] == [stranger.public_key().public_bytes_raw()]

    async def test_a_key_revoked_elsewhere_is_cut_within_seconds(self, world: World) -> None:
        relay = await world.relay()
        ended: asyncio.Queue[UnderpassError] = asyncio.Queue()
        await world.connector(relay, on_ended=ended.put_nowait)
        public = world.key.public_key().public_bytes_raw()
        elsewhere = open_registry(relay.options.state_dir / "relay.db")
        await revoke_key(elsewhere, key_text(public), relay_now())
        await elsewhere.close()
        error = await asyncio.wait_for(ended.get(), 5)
        assert error.code == "key-revoked"
        assert relay.statistics().tunnels == 0

    async def test_a_name_released_elsewhere_ends_its_tunnel(self, world: World) -> None:
        relay = await world.relay()
        await world.connector(relay)
        elsewhere = open_registry(relay.options.state_dir / "relay.db")
        await release_name(elsewhere, "tools")
        await elsewhere.close()
        await until(lambda: relay.statistics().tunnels == 0)

    async def test_the_token_file_is_private(self, world: World) -> None:
        relay = await world.relay()
        assert relay.enrol_token_file.stat().st_mode & 0o777 == 0o600
        assert (relay.options.state_dir / "relay.db").stat().st_mode & 0o777 == 0o600

    async def test_a_loose_database_is_refused(self, world: World, tmp_path: Path) -> None:
        relay = await world.relay()
        await relay.close()
        (tmp_path / "state" / "relay.db").chmod(0o644)
        with pytest.raises(LooseMode):
            await world.relay()

    async def test_a_loose_state_directory_is_refused(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir(mode=0o755)
        with pytest.raises(LooseMode):
            await world.relay()


class TestStart:
    async def test_a_taken_port_names_its_holder(self, world: World) -> None:
        held = socket.create_server(("127.0.0.1", 0))
        with held, pytest.raises(CannotListen) as caught:
            await world.relay(listen=held.getsockname())
        assert "held by" in caught.value.message

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"listen": ("0.0.0.0", 0)}, "a development relay listens on loopback alone"),
            ({"dev": False}, "it needs --domain, or --dev on loopback"),
            (
                {"dev": False, "domain": "relay.test", "tls_cert": Path("x")},
                "--tls-cert and --tls-key go together",
            ),
            ({"front_fingerprints": ("abc",)}, "'abc' is not the SHA-256 of a certificate"),
        ],
    )
    async def test_what_does_not_fit_together_is_refused(
        self, world: World, settings: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(RelayMisconfigured) as caught:
            await world.relay(**settings)
        assert caught.value.reason == reason

    async def test_a_start_that_failed_leaves_nothing(self, world: World, tmp_path: Path) -> None:
        bad = tmp_path / "bad.pem"
        bad.write_text("nonsense")
        with pytest.raises(CertificateUnusable):
            await world.relay(dev=False, domain="relay.test", tls_cert=bad, tls_key=bad)
        relay = await world.relay()
        assert relay.statistics().tunnels == 0


class TestHealth:
    async def test_health_and_metrics_have_a_listener_of_their_own(self, world: World) -> None:
        relay = await world.relay(metrics_listen=("127.0.0.1", 0))
        await world.connector(relay)
        door = f"http://127.0.0.1:{relay.health_port}"
        assert (await ask(door, "/healthz"))[::2] == (200, b"ok\n")
        status, _, body = await ask(door, "/metrics")
        assert status == 200
        assert b"underpass_relay_tunnels 1.0" in body
        assert b"tools" not in body
        assert (await ask(door, "/other"))[0] == 404

    async def test_visitors_find_no_health_on_the_public_port(self, world: World) -> None:
        relay = await world.relay(metrics_listen=("127.0.0.1", 0))
        assert (await ask(relay.public_url, "/metrics"))[0] == 503

    async def test_nonsense_at_the_health_door_is_refused(self, world: World) -> None:
        relay = await world.relay(metrics_listen=("127.0.0.1", 0))
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.health_port)
        writer.write(b"nonsense\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(-1), WITHIN)).startswith(b"HTTP/1.1 400 ")
        writer.close()


class TestDrain:
    async def test_a_request_in_flight_finishes(self, world: World) -> None:
        relay = await world.relay(metrics_listen=("127.0.0.1", 0))
        connector = await world.connector(relay)
        assert connector.welcome is not None
        asked = asyncio.ensure_future(ask(connector.welcome.public_url, "/held"))
        visitor = await asyncio.wait_for(world.house.held.get(), WITHIN)
        draining = asyncio.ensure_future(relay.drain())
        door = f"http://127.0.0.1:{relay.health_port}"
        assert (await ask(door, "/healthz"))[0] == 503
        assert not draining.done()
        visitor.send_head(ResponseHead(200, b"OK", [], 4), b"late", end=True)
        assert (await asked)[::2] == (200, b"late")
        await asyncio.wait_for(draining, WITHIN)
        await asyncio.wait_for(relay.wait_closed(), WITHIN)

    async def test_nobody_new_is_let_in(self, world: World) -> None:
        relay = await world.relay()
        await relay.drain()
        with pytest.raises(OSError):
            await ask(relay.public_url)

    async def test_what_outlives_the_grace_is_cut(self, world: World) -> None:
        relay = await world.relay()
        connector = await world.connector(relay)
        assert connector.welcome is not None
        asked = asyncio.ensure_future(ask(connector.welcome.public_url, "/held"))
        await asyncio.wait_for(world.house.held.get(), WITHIN)
        await asyncio.wait_for(relay.drain(0.1), WITHIN)
        with pytest.raises((ValueError, IndexError, OSError)):
            raise ValueError((await asked)[0])

    async def test_draining_twice_is_one_drain(self, world: World) -> None:
        relay = await world.relay()
        await asyncio.gather(relay.drain(), relay.drain())
        await relay.close()


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def pems(self, authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
        leaf = authority.issue_cert("localhost", "tools.localhost")
        chain, key, ca = (tmp_path / name for name in ("chain.pem", "key.pem", "ca.pem"))
        leaf.private_key_pem.write_to_path(key)
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(chain, append=True)
        authority.cert_pem.write_to_path(ca)
        return {"tls_cert": chain, "tls_key": key, "ca": ca}

    async def start(self, world: World, pems: dict[str, Path]) -> RunningRelay:
        return await world.relay(
            dev=False, domain="localhost", tls_cert=pems["tls_cert"], tls_key=pems["tls_key"]
        )

    async def test_a_name_is_served_over_tls(self, world: World, pems: dict[str, Path]) -> None:
        relay = await self.start(world, pems)
        access = RelayAccess(url=relay.link_url, ca=pems["ca"])
        connector = await world.connector(relay, access=access)
        assert connector.welcome is not None
        port = relay.public_url.split(":")[2]
        assert connector.welcome.public_url == f"https://tools.localhost:{port}"
        context = ssl.create_default_context(cafile=str(pems["ca"]))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(port), ssl=context, server_hostname="tools.localhost"
        )
        host = f"tools.localhost:{port}"
        answer = await asyncio.wait_for(exchange(reader, writer, "/", host), WITHIN)
        assert answer[::2] == (200, b"hello")

    async def test_a_reloaded_certificate_is_served(
        self, world: World, pems: dict[str, Path], authority: trustme.CA
    ) -> None:
        relay = await self.start(world, pems)
        assert relay._front is not None
        before = relay._front.certificate
        leaf = authority.issue_cert("localhost", "tools.localhost")
        leaf.private_key_pem.write_to_path(pems["tls_key"])
        for index, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(pems["tls_cert"], append=index > 0)
        await relay.reload()
        assert before is not None
        assert relay._front.certificate is not None
        assert relay._front.certificate.leaf != before.leaf
        await world.connector(relay, access=RelayAccess(url=relay.link_url, ca=pems["ca"]))

    async def test_a_broken_certificate_changes_nothing(
        self, world: World, pems: dict[str, Path]
    ) -> None:
        relay = await self.start(world, pems)
        assert relay._front is not None
        before = relay._front.certificate
        pems["tls_cert"].write_text("nonsense")
        with pytest.raises(CertificateUnusable):
            await relay.reload()
        assert relay._front.certificate is before


def _impatient() -> Any:
    from underpass.relay.edges.limits import EdgeLimits

    return EdgeLimits(hold_seconds=0.05)


def relay_now() -> float:
    import time

    return time.time()


def _wait_for_clock(at: float) -> None:
    import time

    while time.time() < at:
        time.sleep(0.02)
