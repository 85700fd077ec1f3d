"""Networks of namespaces, with real packet loss, NAT and dead directions. Linux, needs root.

::

    with Network() as net:
        inside, router, outside = net.namespace("in"), net.namespace("nat"), net.namespace("out")
        net.cable(inside, "10.81.1.2/24", router, "10.81.1.1/24")
        net.cable(router, "10.81.2.1/24", outside, "10.81.2.2/24")
        inside.route("default", via="10.81.1.1")
        router.forward()
        with router.masquerade("10.81.2.1"), router.lose(percent=5):
            ...

Leaving the network ends the processes started in it and removes every namespace and cable,
whatever happened inside. Every `ip` and `nft` call is checked: nft ignores a rule that it cannot
parse, and a test that believes in such a rule proves nothing.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

CLONE_NEWNET = 0x40000000
AF_NETLINK, NETLINK_NETFILTER = 16, 12
STOP_GRACE = 2.0
"""Seconds that a process has between SIGTERM and SIGKILL."""

_numbers = itertools.count()


class NetworkError(Exception):
    """`ip`, `nft` or `sysctl` failed; the text says what it was asked and what it said."""


def missing_for_networks() -> str | None:
    """Why `Network` cannot work here, or None if it can: the reason to give a skipped test."""
    if sys.platform != "linux":
        return "network namespaces exist on Linux only"
    if os.geteuid() != 0:
        return "network namespaces need root: run the tests with sudo"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install {package}"
    return None


class Namespace:
    """One host of a `Network`, with its own interfaces, routes, rules and ports."""

    def __init__(self, name: str) -> None:
        self.name = name
        """Name for `ip netns exec`."""
        self._processes: list[subprocess.Popen[bytes]] = []

    def __repr__(self) -> str:
        return f"Namespace({self.name!r})"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command here and waits for it; `NetworkError` if it fails and `check` is set."""
        return _run("ip", "netns", "exec", self.name, *command, check=check)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Starts a program here, output discarded; ended with the network at the latest."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def socket(
        self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
    ) -> socket.socket:
        """A socket of this namespace for use in this process: connect, or bind and serve on it."""
        made: list[socket.socket | OSError] = []

        def make() -> None:
            # setns moves only the calling thread, and a socket stays where it was made.
            libc = ctypes.CDLL(None, use_errno=True)
            place = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(place, CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    made.append(OSError(number, os.strerror(number)))
                else:
                    made.append(socket.socket(family, kind, protocol))
            except OSError as error:
                made.append(error)
            finally:
                os.close(place)

        thread = threading.Thread(target=make, name=f"socket in {self.name}")
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        made[0].setblocking(False)
        return made[0]

    def sysctl(self, name: str, value: str) -> None:
        """Sets one kernel parameter of this namespace, such as `net.ipv4.tcp_retries2`."""
        self.run("sysctl", "-q", "-w", f"{name}={value}")

    def route(self, destination: str, *, via: str) -> None:
        self.run("ip", "route", "replace", destination, "via", via)

    def forward(self) -> None:
        """Makes this namespace a router."""
        self.sysctl("net.ipv4.ip_forward", "1")

    @contextmanager
    def lose(self, percent: int, *, source: str | None = None) -> Iterator[None]:
        """Drops that share of all packets through and into here (from `source` if given)."""
        rule = f"{_from(source)} numgen random mod 100 < {percent} counter drop"
        with self._filter(rule):
            yield

    @contextmanager
    def drop(self, *, source: str | None = None, destination: str | None = None) -> Iterator[None]:
        """A black hole for what comes from `source`, goes to `destination`, or both; nothing
        given means everything. One direction alone is a dead direction."""
        to = f"ip daddr {destination}" if destination else ""
        with self._filter(f"{_from(source)} {to} counter drop"):
            yield

    @contextmanager
    def masquerade(self, address: str) -> Iterator[None]:
        """Lets new connections that leave by the interface with `address` appear to come from it,
        each from a random port."""
        interface = self._interface_of(address)
        chain = "type nat hook postrouting priority 100;"
        with self._table("ip", f"chain nat {{ {chain} oifname {interface} masquerade random; }};"):
            yield

    def forget_connections(self) -> None:
        """Empties the table of tracked connections: a NAT router that was restarted, or took a
        connection for idle. Under `masquerade` a connection then goes on from another port."""
        # A ctnetlink DELETE without a tuple flushes; the tool `conntrack` is rarely installed.
        request = struct.pack("=IHHIIBBH", 20, 0x0102, 0x0005, 1, 0, 0, 0, 0)
        with self.socket(AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
            netlink.settimeout(STOP_GRACE)
            netlink.send(request)
            (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
        if error:
            raise NetworkError(f"cannot forget connections: {os.strerror(-error)}")

    def dropped(self) -> int:
        """Packets dropped by the rules that are in force now."""
        words = self.run("nft", "list", "ruleset").stdout.split()
        return sum(
            int(words[place + 2])
            for place, word in enumerate(words)
            if word == "counter" and words[place + 1] == "packets"
        )

    def end_processes(self) -> None:
        """Ends everything that `start` started. Idempotent."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    @contextmanager
    def _filter(self, rule: str) -> Iterator[None]:
        # Both hooks: a router sees a packet in forward, an end host in input.
        chains = " ".join(
            f"chain {hook}_here {{ type filter hook {hook} priority 0; policy accept; {rule}; }};"
            for hook in ("input", "forward")
        )
        with self._table("ip", chains):
            yield

    @contextmanager
    def _table(self, family: str, chains: str) -> Iterator[None]:
        table = f"{family} faults{next(_numbers)}"
        self._nft(f"table {table} {{ {chains} }}")
        try:
            yield
        finally:
            self._nft(f"delete table {table}")

    def _nft(self, script: str) -> None:
        _run("ip", "netns", "exec", self.name, "nft", "-f", "-", text=f"{script}\n")

    def _interface_of(self, address: str) -> str:
        for line in self.run("ip", "-o", "-4", "addr").stdout.splitlines():
            _, interface, _, found, *_ = line.split()
            if found.split("/")[0] == address:
                return interface
        raise NetworkError(f"{self.name} has no interface with the address {address}")


class Network:
    """Namespaces and the cables between them; a context manager that always cleans up."""

    def __init__(self) -> None:
        self._prefix = f"up{os.getpid()}x{next(_numbers)}"
        self._namespaces: list[Namespace] = []

    def namespace(self, label: str) -> Namespace:
        """A new host with a working loopback interface and nothing else."""
        namespace = Namespace(f"{self._prefix}-{label}")
        _run("ip", "netns", "add", namespace.name)
        self._namespaces.append(namespace)
        namespace.run("ip", "link", "set", "lo", "up")
        return namespace

    def cable(self, a: Namespace, address_a: str, b: Namespace, address_b: str) -> None:
        """Joins two hosts; the addresses carry their prefix length, as in `10.81.1.1/24`."""
        number = next(_numbers)
        ends = (a, f"ve{number}a", address_a), (b, f"ve{number}b", address_b)
        (_, left, _), (_, right, _) = ends
        # Made inside one namespace, so that an early failure leaves nothing on this host.
        a.run("ip", "link", "add", left, "type", "veth", "peer", "name", right, "netns", b.name)
        for namespace, interface, address in ends:
            namespace.run("ip", "addr", "add", address, "dev", interface)
            namespace.run("ip", "link", "set", interface, "up")

    def close(self) -> None:
        """Ends processes and removes all namespaces; cables go with them. Idempotent."""
        for namespace in self._namespaces:
            namespace.end_processes()
        for namespace in self._namespaces:
            # Open sockets keep a removed namespace alive; its cables must not wait for them.
            for line in namespace.run("ip", "-o", "link", check=False).stdout.splitlines():
                interface = line.split(": ")[1].split("@")[0]
                if interface.startswith("ve"):
                    namespace.run("ip", "link", "del", interface, check=False)
            _run("ip", "netns", "del", namespace.name, check=False)
        self._namespaces.clear()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _from(source: str | None) -> str:
    return f"ip saddr {source}" if source else ""


def _run(
    *command: str, text: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise NetworkError(
            f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}"
            + (f" (script: {text.strip()})" if text else "")
        )
    return done
