from __future__ import annotations

import asyncio
import os
import socket
import subprocess

import pytest

from underpass.testing import network
from underpass.testing.network import Namespace, Network, NetworkError, missing_for_networks
from underpass.testing.origins import TcpEcho

MISSING = missing_for_networks()
pytestmark = [
    pytest.mark.root,
    # In CI nothing may be missing: there the tests fail instead.
    pytest.mark.skipif(MISSING is not None and not os.environ.get("CI"), reason=str(MISSING)),
]


class EchoIn(TcpEcho):
    """An echo that listens inside a namespace."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        super().__init__()
        self.namespace, self.address = namespace, address
        self.peers: list[str] = []

    async def start(self) -> None:
        listener = self.namespace.socket()
        listener.bind((self.address, 0))
        self._server = await asyncio.start_server(self._accept, sock=listener)
        self.port = listener.getsockname()[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        await super().serve(reader, writer)


async def ask_from(namespace: Namespace, address: str, port: int, question: bytes) -> bytes:
    connecting = namespace.socket()
    try:
        await asyncio.get_running_loop().sock_connect(connecting, (address, port))
        reader, writer = await asyncio.open_connection(sock=connecting)
    except BaseException:
        connecting.close()
        raise
    try:
        writer.write(question)
        return await reader.readexactly(len(question))
    finally:
        writer.transport.abort()


def inside_router_outside(net: Network) -> tuple[Namespace, Namespace, Namespace]:
    inside, router, outside = net.namespace("in"), net.namespace("nat"), net.namespace("out")
    net.cable(inside, "10.81.1.2/24", router, "10.81.1.1/24")
    net.cable(router, "10.81.2.1/24", outside, "10.81.2.2/24")
    inside.route("default", via="10.81.1.1")
    outside.route("default", via="10.81.2.1")
    router.forward()
    return inside, router, outside


def left_over() -> str:
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    mine = f"up{os.getpid()}x"  # other workers have namespaces, too
    return "".join(line for line in names.stdout.splitlines(keepends=True) if line.startswith(mine))


async def test_two_namespaces_talk_over_their_cable() -> None:
    with Network() as net:
        a, b = net.namespace("a"), net.namespace("b")
        net.cable(a, "10.81.3.1/24", b, "10.81.3.2/24")
        async with EchoIn(b, "10.81.3.2") as echo:
            assert await ask_from(a, "10.81.3.2", echo.port, b"hello") == b"hello"
            assert echo.peers == ["10.81.3.1"]


async def test_control_nothing_passes_while_a_direction_is_dropped() -> None:
    with Network() as net:
        inside, router, outside = inside_router_outside(net)
        async with EchoIn(outside, "10.81.2.2") as echo:
            assert await ask_from(inside, "10.81.2.2", echo.port, b"up") == b"up"
            with router.drop(source="10.81.2.2"):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(ask_from(inside, "10.81.2.2", echo.port, b"x"), 0.3)
                assert router.dropped() > 0
            assert await ask_from(inside, "10.81.2.2", echo.port, b"up again") == b"up again"


async def test_an_established_connection_outlives_a_black_hole() -> None:
    with Network() as net:
        inside, router, outside = inside_router_outside(net)
        async with EchoIn(outside, "10.81.2.2") as echo:
            connecting = inside.socket()
            await asyncio.get_running_loop().sock_connect(connecting, ("10.81.2.2", echo.port))
            reader, writer = await asyncio.open_connection(sock=connecting)
            with router.drop():
                writer.write(b"sent into the hole")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.readexactly(1), 0.2)
            async with asyncio.timeout(20):
                assert await reader.readexactly(18) == b"sent into the hole"
            writer.transport.abort()


def datagrams_received(source: Namespace, target: Namespace, address: str, count: int) -> int:
    """How many of `count` datagrams from one namespace arrive in the other."""
    received = 0
    with (
        source.socket(kind=socket.SOCK_DGRAM) as sender,
        target.socket(kind=socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind((address, 0))
        for _ in range(count):
            sender.sendto(b"x", receiver.getsockname())
            # A cable hands a packet over before sendto returns; a moment for the first ARP.
            receiver.settimeout(0.005)
            try:
                receiver.recv(10)
                received += 1
            except TimeoutError:
                pass
    return received


def test_control_a_share_of_the_packets_is_lost() -> None:
    with Network() as net:
        inside, router, outside = inside_router_outside(net)
        assert datagrams_received(inside, outside, "10.81.2.2", 400) >= 399
        with router.lose(percent=20, source="10.81.1.2"):
            received = datagrams_received(inside, outside, "10.81.2.2", 400)
            # 320 expected with a standard deviation of 8.
            assert 270 <= received <= 370
            assert router.dropped() == 400 - received


async def test_masquerading_hides_the_address_inside() -> None:
    with Network() as net:
        inside, router, outside = inside_router_outside(net)
        async with EchoIn(outside, "10.81.2.2") as echo:
            await ask_from(inside, "10.81.2.2", echo.port, b"x")
            with router.masquerade("10.81.2.1"):
                await ask_from(inside, "10.81.2.2", echo.port, b"x")
            assert echo.peers == ["10.81.1.2", "10.81.2.1"]


async def test_control_a_connection_does_not_survive_a_forgetful_router() -> None:
    with Network() as net:
        inside, router, outside = inside_router_outside(net)
        async with EchoIn(outside, "10.81.2.2") as echo:
            with router.masquerade("10.81.2.1"):
                connecting = inside.socket()
                await asyncio.get_running_loop().sock_connect(connecting, ("10.81.2.2", echo.port))
                reader, writer = await asyncio.open_connection(sock=connecting)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                router.forget_connections()
                writer.write(b"from another port now")
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(reader.readexactly(1), 10)
                writer.transport.abort()


def test_control_a_rule_that_nft_cannot_parse_is_an_error() -> None:
    with Network() as net:
        host = net.namespace("a")
        with (
            pytest.raises(NetworkError, match="nft -f - ended with 1"),
            host._filter("ip saddr nonsense..rule drop"),
        ):
            pass


def test_a_failing_command_says_what_it_was() -> None:
    with Network() as net:
        host = net.namespace("a")
        with pytest.raises(NetworkError, match="ip route replace"):
            host.route("10.99.0.0/16", via="10.98.0.1")


def test_everything_is_gone_after_an_error_inside() -> None:
    before = left_over()
    programs = []

    def fail_inside() -> None:
        with Network() as net:
            a, b = net.namespace("a"), net.namespace("b")
            net.cable(a, "10.81.4.1/24", b, "10.81.4.2/24")
            programs.append(a.start("sleep", "600"))
            assert left_over() != before
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    assert programs[0].poll() is not None
    assert left_over() == before


def test_a_sysctl_is_set_in_its_namespace_only() -> None:
    with Network() as net:
        host = net.namespace("a")
        host.sysctl("net.ipv4.tcp_retries2", "5")
        assert host.run("sysctl", "-n", "net.ipv4.tcp_retries2").stdout.strip() == "5"
        there = subprocess.run(
            ["sysctl", "-n", "net.ipv4.tcp_retries2"], capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() != "5"


def test_without_root_the_reason_for_skipping_names_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    assert missing_for_networks() == "network namespaces need root: run the tests with sudo"
    monkeypatch.setattr(network.os, "geteuid", lambda: 0)
    monkeypatch.setattr(network.shutil, "which", lambda name: None if name == "nft" else name)
    assert missing_for_networks() == "nft is missing: apt-get install nftables"
