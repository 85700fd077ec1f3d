"""What is WireGuard's own: a door at one address and nothing else, with rights and without."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.edges.wireguard import left_over, marks, visit
from tests.engines.wireguard.bench import WireGuardBench

from underpass.drivers.base import Counts
from underpass.drivers.wireguard.configs import wanted_device, wg_quick_file
from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.host import HostInterface
from underpass.drivers.wireguard.host_files import HostFiles
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.rules import Rules, table_name
from underpass.testing.driver_suite import bearer, change, refusal, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import TcpEcho
from underpass.testing.ports import free_port

pytestmark = marks

NO_RIGHTS = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs")


@pytest.fixture
async def bench(tmp_path: Path, runtime: Path) -> AsyncIterator[WireGuardBench]:
    async with WireGuardBench(tmp_path, runtime) as bench:
        yield bench


async def test_only_the_gatehouse_is_reached_and_every_rule_is_undone(
    bench: WireGuardBench,
) -> None:
    laptop = bench.net.laptop
    before = laptop.run("nft", "list", "ruleset").stdout
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        parts = urlsplit(url_of(tunnel))
        assert (parts.hostname, parts.scheme) == ("10.87.0.2", "http")
        with laptop.socket() as other:
            other.bind(("0.0.0.0", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(visit(bench.net.relay, "10.87.0.2", port), 1.0)
            # Control: without the interface between, the same service answers.
            _, writer = await visit(bench.net.router, "10.86.2.2", port)
            writer.close()
        # By another interface the gatehouse itself is not to be had either.
        bench.net.router.route("10.87.0.2", via="10.86.2.2")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(visit(bench.net.router, "10.87.0.2", parts.port or 0), 1.0)
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
        assert laptop.run("nft", "list", "ruleset").stdout != before
        assert isinstance(tunnel.engine, Counts)
        counted = await tunnel.engine.counters()
        assert counted.bytes_in > 0
        assert counted.bytes_out > 0
        await tunnel.close()
    assert laptop.run("nft", "list", "ruleset").stdout == before
    assert left_over(bench.net, "laptop") == []


async def test_visitors_addresses_are_vouched_for_so_that_the_ip_gate_holds(
    bench: WireGuardBench,
) -> None:
    ci = await bench.net.up("ci")
    await ci.peer("relay", "live")
    async with TcpEcho() as origin:
        tunnel = await bench.open(f"tcp://127.0.0.1:{origin.port} --gate ip:10.87.0.1/32")
        port = urlsplit(url_of(tunnel)).port or 0
        reader, writer = await visit(bench.net.relay, "10.87.0.2", port)
        writer.write(b"let me in")
        assert await reader.readexactly(9) == b"let me in"
        writer.close()
        reader, writer = await visit(bench.net.ci, "10.87.0.2", port)
        writer.write(b"let me in")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(9)
        writer.close()


async def test_a_taken_udp_port_is_told_as_such(bench: WireGuardBench) -> None:
    with bench.net.laptop.socket(kind=socket.SOCK_DGRAM) as holder:
        holder.bind(("0.0.0.0", 0))
        port = str(holder.getsockname()[1])
        error = await refusal(bench, {**bench.options(), "listen": port}, timeout=6.0)
    assert "UDP port is taken" in error.message
    assert left_over(bench.net, "laptop") == []


async def test_a_dead_path_at_the_opening_is_told_as_such(bench: WireGuardBench) -> None:
    with bench.net.router.drop(source="10.86.2.2"):
        error = await refusal(bench, bench.options(), timeout=15.0)
    assert error.retryable
    assert "does not answer at all" in error.message


async def test_a_dead_path_later_is_the_links_fault_and_mends(bench: WireGuardBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        changes = tunnel.events()
        with bench.net.router.drop(source="10.86.2.2"):
            lost = await change(changes, lambda it: it["event"] == "link-lost")
            assert lost["tunnel"]["state"] == "failing"
        await change(changes, lambda it: it["event"] == "live")


async def test_a_key_of_an_open_tunnel_is_replaced_while_visitors_come(
    bench: WireGuardBench,
) -> None:
    keyring = bench.net.load()[1]
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        statuses: list[int] = []

        async def come() -> None:
            while True:
                statuses.append((await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status)

        def relay_knows(key: str) -> bool:
            words = ("wg", "show", bench.far.interface, "peers")
            return key in bench.net.relay.run(*words).stdout

        coming = asyncio.create_task(come())
        staged = keyring.stage("laptop")
        # The relay has to know it first; only its own device can say so.
        async with asyncio.timeout(20.0):
            while not relay_knows(staged):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        keyring.switch("laptop")
        wanted = len(statuses) + 60
        async with asyncio.timeout(20.0):
            while len(statuses) < wanted:  # noqa: ASYNC110  (visitors tell nobody)
                await asyncio.sleep(0.05)
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        assert set(statuses) == {200}
        public = bench.net.laptop.run("wg", "show", "all", "public-key").stdout
        assert staged in public


async def test_without_nft_nothing_is_opened(bench: WireGuardBench, tmp_path: Path) -> None:
    rules = Rules(Place(tmp_path, {"PATH": str(tmp_path)}), "upw-x")
    topology = bench.net.load()[0]
    with pytest.raises(InterfaceRefused, match="no program nft") as caught:
        await rules.put(topology.hosts["laptop"].address, (80,), forwards=False)
    assert caught.value.code == "interface-refused"
    place = Place(tmp_path, dict(os.environ), bench.net.laptop.name)
    with pytest.raises(InterfaceRefused, match="nft refused the rules"):
        await Rules(place, 'x" nonsense').put(
            topology.hosts["laptop"].address, (80,), forwards=False
        )


async def test_rules_that_are_replaced_leave_no_gap_and_stay_when_new_ones_fail(
    bench: WireGuardBench, tmp_path: Path
) -> None:
    place = Place(tmp_path, dict(os.environ), bench.net.laptop.name)
    rules = Rules(place, "upw-gap")
    address = bench.net.load()[0].hosts["laptop"].address
    commands: list[tuple[str, ...]] = []
    run = Place.run

    async def noting(self: Place, *command: str) -> tuple[int, list[str]]:
        commands.append(command)
        return await run(self, *command)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Place, "run", noting)
            await rules.put(address, (80,), forwards=False)
            await rules.put(address, (81,), forwards=True)
            with pytest.raises(InterfaceRefused, match="nft refused the rules"):
                await rules.put(address, (70_000,), forwards=False)
        assert not [each for each in commands if "delete" in each], "a step of its own is a gap"
        _, lines = await place.run("nft", "list", "table", "inet", rules.table)
        shown = "\n".join(lines)
        assert "tcp dport 81 accept" in shown
        assert "dport 80 " not in shown
        assert shown.count("chain door") == 1
    finally:
        await rules.remove()


async def run_without_rights(home: Path, *words: str) -> asyncio.subprocess.Process:
    runtime = home / "rt"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return await asyncio.create_subprocess_exec(
        *(*NO_RIGHTS, sys.executable, "-m", "underpass", *words, "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "UNDERPASS_RUNTIME_DIR": str(runtime),
            "UNDERPASS_STATE_DIR": str(home / "state"),
            "HOME": str(home),
        },
    )


@pytest.fixture
def lone(tmp_path: Path, runtime: Path) -> Path:
    """A host whose endpoint is a free port of this machine."""
    port = free_port(kind=socket.SOCK_DGRAM)
    (runtime / "lone.toml").write_text(
        f'[network]\nname = "lone"\nsubnet = "10.89.0.0/24"\n'
        f'[hosts.here]\nendpoint = "127.0.0.1:{port}"\n[hosts.there]\n'
    )
    return runtime


async def test_without_rights_a_tunnel_opens_in_user_space(lone: Path) -> None:
    keys = await run_without_rights(lone, "wg", "keys", str(lone / "lone.toml"))
    async with asyncio.timeout(30.0):
        out, err = await keys.communicate()
    assert keys.returncode == 0, (out, err)
    async with HttpOrigin() as origin:
        via = f"wireguard:here@{lone / 'lone.toml'}"
        process = await run_without_rights(lone, "open", str(origin.port), "--via", via)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(40.0):
                told = json.loads(await process.stdout.readline())
            assert told["event"] == "live", told
            assert told["tunnel"]["url"] == "http://10.89.0.1:8080"
            assert told["verdict"]["layers"]["gate"]["status"] == "passed"
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20.0):
                await process.communicate()
    assert process.returncode == 0
    assert out


async def test_an_interface_without_rights_is_refused(lone: Path) -> None:
    await (await run_without_rights(lone, "wg", "keys", str(lone / "lone.toml"))).communicate()
    via = f"wireguard:here@{lone / 'lone.toml'}"
    words = ("open", "1", "--via", via, "--engine-option", "wireguard.mode=wireguard-go")
    for asked in (words, ("wg", "up", str(lone / "lone.toml"), "here")):
        process = await run_without_rights(lone, *asked)
        async with asyncio.timeout(30.0):
            out, err = await process.communicate()
        assert process.returncode == 7, (out, err)
        error = json.loads(out or err)["error"]
        assert error["code"] == "engine-missing"
        assert "may not make interfaces" in error["message"]


async def test_a_far_end_that_something_else_brought_up_needs_a_witness(
    bench: WireGuardBench,
) -> None:
    await bench.far.stop()
    topology, keyring = bench.net.load()
    relay, interface = bench.net.relay, bench.net.interface("relay")
    config = bench.home / "relay.conf"
    config.touch(0o600)
    config.write_text(wg_quick_file(topology, "relay", wanted_device(topology, keyring, "relay")))
    stripped = bench.home / "stripped.conf"
    stripped.touch(0o600)
    stripped.write_text(relay.run("wg-quick", "strip", str(config)).stdout)
    relay.start("wireguard-go", "-f", interface)
    async with asyncio.timeout(10.0):
        words = ("wg", "setconf", interface, str(stripped))
        while relay.run(*words, check=False).returncode:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    relay.run("ip", "addr", "add", "10.87.0.1/24", "dev", interface)
    relay.run("ip", "link", "set", interface, "up")
    error = await refusal(bench, bench.options(), timeout=6.0)
    assert error.code == "proof-failed"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", "wg", "witness", str(bench.net.file), "relay"),
        *("--netns", relay.name),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "UNDERPASS_RUNTIME_DIR": str(bench.home / "far")},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20.0):
            assert await process.stdout.readline() == b"10.87.0.1:7837\n"
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            assert tunnel.verdict.ok
            await tunnel.close()
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_what_a_killed_process_left_in_the_kernel_is_removed_and_its_lack_told(
    bench: WireGuardBench, tmp_path: Path
) -> None:
    laptop, interface = bench.net.laptop, bench.net.interface("laptop")
    place = Place(tmp_path, dict(os.environ), laptop.name)
    dead = await asyncio.create_subprocess_exec("true")
    await dead.wait()
    laptop.run("ip", "link", "add", interface, "type", "veth", "peer", "name", "vekept")
    laptop.run("nft", "add", "table", "inet", table_name(interface, dead.pid))
    files = HostFiles(bench.net.file, bench.net.keys, "laptop")
    host = HostInterface(files, interface, place, userspace=False, ports=lambda: (80,))
    with pytest.raises(InterfaceRefused, match="this kernel has no WireGuard"):
        await host.bring_up()
    assert interface not in laptop.run("ip", "-o", "link").stdout
    await host.take_down()
    assert left_over(bench.net, "laptop") == []
