"""A network that lives: hosts come and go, keys are replaced, and nobody else's traffic notices."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.edges.wireguard import (
    MemberProcess,
    WireGuardNet,
    device_pid,
    left_over,
    marks,
    visit,
    wireguard_net,
)

from underpass.drivers.wireguard.control import WgControl
from underpass.drivers.wireguard.device import SetPeer
from underpass.drivers.wireguard.links import IpLinks, Links, NetlinkLinks
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.rootless_engine import rootless_words
from underpass.drivers.wireguard.settings import WireGuardSettings
from underpass.drivers.wireguard.witness import PORT as WITNESS_PORT
from underpass.testing.network import Namespace

pytestmark = marks

PATIENCE = 30.0


@pytest.fixture
async def net(tmp_path: Path, runtime: Path) -> AsyncIterator[WireGuardNet]:
    async with wireguard_net(tmp_path, runtime) as made:
        yield made


class Echo:
    """A plain service of one host of the network, and a client of another that asks it all the
    time, each question over a connection of its own."""

    def __init__(self, near: Namespace, far: Namespace, address: str) -> None:
        self.near, self.far, self.address = near, far, address
        self.answered = 0
        self.failed: list[str] = []
        self.slowest = 0.0
        self._news = asyncio.Event()

    async def __aenter__(self) -> Echo:
        listener = self.far.socket()
        listener.bind((self.address, 0))
        self._server = await asyncio.start_server(self._serve, sock=listener)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._ask())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._server.close()

    async def answers(self, count: int) -> None:
        """Wait for that many more."""
        wanted = self.answered + count
        async with asyncio.timeout(PATIENCE):
            while self.answered < wanted and not self.failed:
                self._news.clear()
                await self._news.wait()
        assert self.failed == []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(10.0):
                    reader, writer = await visit(self.near, self.address, self.port)
                    writer.write(b"question")
                    assert await reader.read() == b"question"
                    writer.close()
            except (OSError, TimeoutError, AssertionError) as error:
                self.failed.append(repr(error))
            self.answered += 1
            self._news.set()
            self.slowest = max(self.slowest, loop.time() - began)
            await asyncio.sleep(0.005)


async def both_up(net: WireGuardNet) -> tuple[MemberProcess, MemberProcess]:
    """The relay and the laptop, which know each other."""
    net.write()
    net.make_keys()
    relay = await net.up("relay", "--open")
    laptop = await net.up("laptop", "--open")
    await laptop.peer("relay", "live")
    await relay.peer("laptop", "live")
    return relay, laptop


async def until(look: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until ``look()`` is true: a device tells nobody of its changes."""
    async with asyncio.timeout(seconds):
        while True:
            if look():
                return
            await asyncio.sleep(0.05)


def peers_of(net: WireGuardNet, host: str, member: MemberProcess) -> dict[str, str]:
    """Allowed addresses by public key, as the device itself tells them."""
    words = ("wg", "show", member.interface, "allowed-ips")
    lines = net.namespace(host).run(*words).stdout.splitlines()
    return dict(line.split("\t") for line in lines)


@pytest.mark.parametrize("host", ["laptop", "relay"])
async def test_a_key_is_replaced_while_requests_run_and_none_is_lost(
    net: WireGuardNet, host: str
) -> None:
    relay, laptop = await both_up(net)
    keyring = net.load()[1]
    other, member = ("relay", relay) if host == "laptop" else ("laptop", laptop)
    async with Echo(net.laptop, net.relay, "10.87.0.1") as echo:
        await echo.answers(20)
        former = keyring.public(host).current
        staged = keyring.stage(host)
        await until(lambda: staged in peers_of(net, other, member))
        assert peers_of(net, other, member)[staged] == "(none)"
        await echo.answers(20)
        assert keyring.switch(host) == staged
        await until(lambda: peers_of(net, other, member)[staged] != "(none)")
        await echo.answers(50)
        keyring.finish(host)
        await until(lambda: former not in peers_of(net, other, member))
        await echo.answers(20)
    assert echo.failed == []
    assert echo.answered > 100
    # A moment while the first handshake with the new key is under way, and no more.
    assert echo.slowest < 4.0


async def test_keys_are_replaced_again_and_again_between_machines_with_files_of_their_own(
    net: WireGuardNet, tmp_path: Path
) -> None:
    net.write()
    net.make_keys()
    topology, keyring = net.load()
    rings = {host: type(keyring)(tmp_path / host, topology) for host in ("relay", "laptop")}
    for host, ring in rings.items():
        keyring.pack(host, ring.directory)
    relay, laptop = [
        await net.up(host, "--open", keys=ring.directory) for host, ring in rings.items()
    ]
    await relay.peer("laptop", "live")
    await laptop.peer("relay", "live")

    async def rotate() -> None:
        former, staged = rings["laptop"].public("laptop").current, rings["laptop"].stage("laptop")
        shutil.copy(rings["laptop"].directory / "laptop.next.pub", rings["relay"].directory)
        await until(lambda: staged in peers_of(net, "relay", relay))
        rings["laptop"].switch("laptop")
        await until(lambda: peers_of(net, "relay", relay)[staged] != "(none)")
        for ring in rings.values():
            ring.finish("laptop")
        await until(lambda: former not in peers_of(net, "relay", relay))

    async with Echo(net.laptop, net.relay, "10.87.0.1") as echo:
        for _ in range(2):
            await rotate()
            await echo.answers(20)
    assert echo.failed == []


async def test_control_a_key_that_the_neighbours_do_not_know_stops_traffic(
    net: WireGuardNet, tmp_path: Path
) -> None:
    _, laptop = await both_up(net)
    apart = tmp_path / "apart.keys"
    topology, keyring = net.load()
    keyring.pack("laptop", apart)
    await laptop.stop()
    (apart / "laptop.key").unlink()
    type(keyring)(apart, topology).make(["laptop"])
    laptop = await net.up("laptop", keys=apart)
    told = await laptop.peer("relay", "wrong-key")
    assert "key" in told["detail"]


async def test_a_host_joins_and_leaves_live_and_others_notice_nothing(net: WireGuardNet) -> None:
    net.write(
        """
        [network]
        name = "mesh"
        subnet = "10.87.0.0/24"
        keepalive = 5
        [hosts.relay]
        endpoint = "10.86.1.2:51820"
        [hosts.laptop]
        """
    )
    net.make_keys()
    relay = await net.up("relay", "--open")
    laptop = await net.up("laptop", "--open")
    await laptop.peer("relay", "live")
    without_ci = net.file.read_text()
    async with Echo(net.laptop, net.relay, "10.87.0.1") as echo:
        await echo.answers(20)
        net.write(without_ci + "[hosts.ci]\n")
        net.make_keys()
        key = net.load()[1].public("ci").current
        await until(lambda: key in peers_of(net, "relay", relay))
        ci = await net.up("ci", "--open")
        await ci.peer("relay", "live")
        # Through the relay, which forwards from now on: nobody was started anew.
        async with Echo(net.ci, net.laptop, "10.87.0.2") as crossing:
            await crossing.answers(10)
        assert await ci.stop() == 0
        net.write(without_ci)
        await until(lambda: key not in peers_of(net, "relay", relay))
        await echo.answers(20)
    assert echo.failed == []
    assert echo.slowest < 1.5
    assert await laptop.stop() == 0
    assert await relay.stop() == 0
    assert left_over(net) == []


async def test_hosts_behind_nats_reach_each_other_by_the_hub(net: WireGuardNet) -> None:
    await both_up(net)
    ci = await net.up("ci", "--open")
    await ci.peer("relay", "live")
    async with Echo(net.ci, net.laptop, "10.87.0.2") as echo:
        await echo.answers(20)


async def test_a_chain_leads_from_one_end_to_the_other(net: WireGuardNet) -> None:
    net.write(
        """
        [network]
        name = "line"
        shape = "chain"
        subnet = "10.87.0.0/24"
        keepalive = 5
        [hosts.laptop]
        [hosts.relay]
        endpoint = "10.86.1.2:51820"
        [hosts.ci]
        """
    )
    net.make_keys()
    relay = await net.up("relay")
    laptop, ci = await net.up("laptop", "--open"), await net.up("ci", "--open")
    for member in (laptop, ci):
        await member.peer("relay", "live")
    await relay.peer("ci", "live")
    async with Echo(net.laptop, net.ci, "10.87.0.3") as echo:
        await echo.answers(20)


async def test_a_guarded_host_exposes_its_witness_and_nothing_else(net: WireGuardNet) -> None:
    net.write()
    net.make_keys()
    relay = await net.up("relay")
    laptop = await net.up("laptop")
    await laptop.peer("relay", "live")
    await relay.peer("laptop", "live")
    with net.relay.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(visit(net.laptop, "10.87.0.1", port), 1.0)
        # Control: the same service answers where nothing guards it.
        _, writer = await visit(net.laptop, "10.86.1.2", port)
        writer.close()
        _, writer = await visit(net.laptop, "10.87.0.1", WITNESS_PORT)
        writer.close()
        # The tunnel address is not to be had by another interface, which Linux would allow.
        net.router.route("10.87.0.1", via="10.86.1.2")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(visit(net.router, "10.87.0.1", WITNESS_PORT), 1.0)
    assert await relay.stop() == 0
    assert [each for each in left_over(net) if "lap" not in each] == []


async def test_a_killed_process_leaves_rules_that_its_successor_removes(net: WireGuardNet) -> None:
    net.write()
    net.make_keys()
    relay = await net.up("relay")
    await relay.kill()
    tables = net.relay.run("nft", "list", "tables").stdout
    assert str(relay.pid) in tables
    relay = await net.up("relay")
    tables = net.relay.run("nft", "list", "tables").stdout
    assert tables.count("underpass_wg") == 1
    assert await relay.stop() == 0
    assert left_over(net) == []


async def test_a_neighbour_that_answers_no_pings_is_live_all_the_same(net: WireGuardNet) -> None:
    net.write(preshared=False)
    net.make_keys()
    options = {"host": "relay", "topology": str(net.file), "netns": net.relay.name}
    words = rootless_words(WireGuardSettings.parse(options), net.runtime)
    rootless = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL)
    try:
        laptop = await net.up("laptop")
        await laptop.peer("relay", "live")

        def handshakes() -> int:
            told = net.laptop.run("wg", "show", laptop.interface, "transfer").stdout
            return int(told.split()[1]) // 92  # an answer to one has 92 bytes

        await until(lambda: handshakes() >= 3, 60.0)
        assert {line["state"] for line in laptop.lines if line.get("peer") == "relay"} <= {
            "shaking-hands",
            "live",
        }
    finally:
        rootless.terminate()
        await rootless.wait()


async def test_a_host_takes_part_once(net: WireGuardNet) -> None:
    net.write()
    net.make_keys()
    await net.up("relay")
    words = ("wg", "up", str(net.file), "relay", "--netns", net.relay.name, "--interface", "up-too")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", *words, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "UNDERPASS_RUNTIME_DIR": str(net.runtime)},
    )
    async with asyncio.timeout(PATIENCE):
        said, _ = await process.communicate()
    error = json.loads(said)["error"]
    assert error["code"] == "interface-refused"
    assert "takes part already" in error["message"]
    assert error["hint"] == "end the other `underpass wg up`, or its witness"


async def test_a_killed_wireguard_go_is_started_again(net: WireGuardNet) -> None:
    relay, laptop = await both_up(net)
    former = device_pid(relay)
    net.relay.run("kill", "-9", str(former))
    await relay.wait_for(lambda it: it["event"] == "device-lost")
    await laptop.peer("relay", "live", after=len(laptop.lines))
    assert device_pid(relay) != former


@pytest.mark.parametrize("links", [IpLinks, NetlinkLinks])
async def test_a_device_is_set_up_by_wg_and_by_either_way_to_interfaces(
    net: WireGuardNet, links: type[IpLinks | NetlinkLinks], tmp_path: Path
) -> None:
    relay, _ = await both_up(net)
    place = Place(tmp_path, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, net.relay.name)
    ways: Links = links(place)
    await ways.configure(relay.interface, "10.87.9.1/24", 1_380, ())
    shown = net.relay.run("ip", "addr", "show", relay.interface).stdout
    assert "10.87.9.1/24" in shown
    assert "mtu 1380" in shown
    assert await ways.make("upnokern0") is False  # no such module here: it says so
    control = WgControl(relay.interface, place)
    device = await control.read()
    key = net.load()[1].public("laptop").current
    assert device.peers[key].last_handshake > 0
    await control.apply([SetPeer(key, keepalive=33)])
    assert (await control.read()).peers[key].keepalive == 33
    assert [name for name in os.listdir(tmp_path) if name.endswith(".key")] == []
    await ways.remove(relay.interface)
    assert relay.interface not in net.relay.run("ip", "-o", "link").stdout
