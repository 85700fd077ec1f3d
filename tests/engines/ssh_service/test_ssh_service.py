"""Public SSH services, with the real OpenSSH client against a service in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.edges.ssh_service import ANONYMOUS, DOMAIN, REFUSED_PORT, SshService

from underpass.assembly import OpenTunnel
from underpass.drivers.errors import EngineCannot, EngineOptionInvalid
from underpass.drivers.plans import DoorAddress, Site
from underpass.drivers.ssh_service import SshServiceDriver, read_words
from underpass.model.spec import parse_spec
from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite, bearer, change, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.fault_proxy import FaultProxy
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.sshd import SshKeys


class ServiceBench(DriverBench):
    engine = "ssh-service"
    program = "ssh"
    cannot: ClassVar = {"tcp": "its addresses are for HTTP"}

    async def start(self) -> None:
        if shutil.which("ssh") is None:
            why = "no ssh: apt-get install openssh-client"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        self.keys = SshKeys(self.home / "keys")
        self.service = SshService([self.keys.public.read_text()])
        self.stack.push_async_callback(self.service.stop)
        await self.service.start()
        self.proxy = FaultProxy("127.0.0.1", self.service.port)
        await self.stack.enter_async_context(self.proxy)
        key = self.service.known_hosts_line.partition(" ")[2]
        lines = [f"[127.0.0.1]:{port} {key}" for port in (self.service.port, self.proxy.port)]
        (self.home / "known_hosts").write_text("".join(lines))

    async def cut(self) -> None:
        await self.service.stop()

    async def mend(self) -> None:
        await self.service.start()

    async def freeze(self) -> None:
        """The service is in this process: what it and ssh say to each other is withheld."""
        self.proxy.freeze()

    async def thaw(self) -> None:
        self.proxy.thaw()

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        self.service.is_full = True
        yield self.options()
        self.service.is_full = False

    def options(self) -> Options:
        return {
            "via": f"{ANONYMOUS}@127.0.0.1:{self.proxy.port}",
            "domain": DOMAIN,
            "scheme": "http",
            "known-hosts": str(self.home / "known_hosts"),
        }

    def customer(self, key: Path) -> Options:
        via = f"customer@127.0.0.1:{self.service.port}"
        return {**self.options(), "via": via, "identity": str(key)}

    def wrong_credential(self) -> Options:
        return self.customer(self.keys.unknown)

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        yield {**self.options(), "port": str(REFUSED_PORT)}

    def hostile_options(self, text: str) -> list[Options]:
        keys = ("via", "name", "port", "scheme", "domain", "output", "token-env")
        keys += ("identity", "known-hosts", "trust")
        return [{**self.options(), key: text} for key in keys]

    async def connect(self, url: str) -> Any:
        """As a browser does: names below ``localhost`` are this machine."""
        assert DOMAIN in url
        return await super().connect(f"http://127.0.0.1:{self.service.http_port}")


class TestSshService(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with ServiceBench(tmp_path, runtime) as bench:
            yield bench


@pytest.fixture
async def bench(tmp_path: Path, runtime: Path) -> AsyncIterator[ServiceBench]:
    async with ServiceBench(tmp_path, runtime) as bench:
        yield bench


async def works_elsewhere(bench: ServiceBench, tunnel: OpenTunnel, changes: Any, old: str) -> None:
    """The tunnel's change of address is announced; the new one is proved and serves."""
    await change(changes, lambda it: it["event"] == "live" and it["tunnel"]["url"] != old)
    assert url_of(tunnel) in {bench.service.url(name) for name in bench.service.names}
    assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
    assert (await ask(bench, url_of(tunnel))).status == 401
    assert (await ask(bench, old, "/", bearer(tunnel))).status == 503


async def test_a_name_that_changed_after_a_reconnect_is_announced(bench: ServiceBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        old, changes = url_of(tunnel), tunnel.events()
        bench.service.cut()
        await works_elsewhere(bench, tunnel, changes, old)


async def test_a_name_that_changes_while_connected_is_announced(bench: ServiceBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        old, changes, child = url_of(tunnel), tunnel.events(), bench.child(tunnel)
        bench.service.rename()
        await works_elsewhere(bench, tunnel, changes, old)
        assert bench.child(tunnel) == child


async def test_a_name_that_was_asked_for_is_kept_over_a_reconnect(bench: ServiceBench) -> None:
    async with HttpOrigin() as origin:
        options = {**bench.customer(bench.keys.known), "name": "mine"}
        tunnel = await bench.open(f"{origin.port}", options)
        url, changes = url_of(tunnel), tunnel.events()
        assert url == bench.service.url(f"mine.{DOMAIN}")
        bench.service.cut()
        await change(changes, lambda it: it["event"] == "live")
        assert url_of(tunnel) == url


async def test_an_address_is_learnt_from_json_too(bench: ServiceBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", {**bench.options(), "output": "json"})
        assert bench.service.as_json
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_a_service_whose_key_is_unknown_is_refused(bench: ServiceBench) -> None:
    (bench.home / "known_hosts").write_text("")
    async with HttpOrigin() as origin:
        with pytest.raises(Exception, match="key is not known") as caught:
            await bench.open(f"{origin.port}")
    assert "ssh-service.trust=new" in str(getattr(caught.value, "hint", ""))
    assert not bench.service.names


def site(**options: str) -> Site:
    return Site(
        "tools",
        Path("/nowhere"),
        options={"via": "nokey@localhost.run", **options},
        environment={"SSH_AUTH_SOCK": "/agent", "PINGGY": "t0ken"},
        door=DoorAddress(unix=Path("/nowhere/door.sock")),
    )


def test_no_key_is_shown_to_a_service_unless_it_was_named() -> None:
    spec = parse_spec("3001")
    plan = SshServiceDriver().plan(spec, site())
    assert "PubkeyAuthentication=no" in plan.argv
    assert "SSH_AUTH_SOCK" not in plan.environment
    plan = SshServiceDriver().plan(spec, site(identity="/home/me/key"))
    assert "PubkeyAuthentication=yes" in plan.argv
    assert b"identitiesonly yes" in plan.files[0].content


def test_a_token_stands_in_a_file_and_nowhere_else() -> None:
    options = {"via": "http@a.pinggy.io:443", "port": "0", "token-env": "PINGGY"}
    plan = SshServiceDriver().plan(parse_spec("3001"), site(**options))
    assert b"user t0ken+http\n" in plan.files[0].content
    assert "t0ken" not in repr(plan)


def test_links_are_kept_alive_and_end_when_the_forward_fails() -> None:
    text = SshServiceDriver().plan(parse_spec("3001"), site()).files[0].content.decode()
    for rule in ("BatchMode yes", "ExitOnForwardFailure yes", "ServerAliveInterval 3"):
        assert rule in text


@pytest.mark.parametrize(
    "words", ["tcp://127.0.0.1:22 --public --for 30m", "3001 --gate ip:192.0.2.0/24"]
)
def test_what_a_service_cannot_carry_is_refused(words: str) -> None:
    with pytest.raises(EngineCannot):
        SshServiceDriver().plan(parse_spec(words), site())


@pytest.mark.parametrize(
    "options",
    [
        {"via": "a,b"},
        {"scheme": "ftp"},
        {"output": "xml"},
        {"name": "a b"},
        {"token-env": "UNSET"},
        {"bind": "0.0.0.0"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: Options) -> None:
    with pytest.raises(EngineOptionInvalid, match="ssh-service"):
        SshServiceDriver().plan(parse_spec("3001"), site(**options))


def test_a_foreign_tunnel_is_known_by_its_service() -> None:
    words = ["-R", "80:127.0.0.1:8080", "nokey@localhost.run"]
    assert read_words(words) == ("127.0.0.1:8080", "localhost.run")
    assert read_words(["-p", "443", "-R0:h:8000", "t0ken+http@a.pinggy.io"]) == (
        "h:8000",
        "a.pinggy.io",
    )
    assert read_words(["-R", "80:h:80", "me@example.com"]) is None
