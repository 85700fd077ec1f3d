"""A network of hosts as a text: who there is, who meets whom, which addresses lead where. Pure.

The grammar, in TOML::

    [network]
    name = "agents"             # 1 to 10 of a-z, 0-9 and "-"; the interface is called upw-NAME
    shape = "hub"               # hub, mesh (everybody meets everybody) or chain (in this order)
    subnet = "10.77.0.0/24"     # private, at least as large as the number of hosts
    hub = "relay"               # shape hub only; the first host when left out
    keepalive = 25              # seconds between packets that keep a NAT open; 0: none
    mtu = 1420
    preshared = true            # one more secret for each pair

    [hosts.relay]
    endpoint = "relay.example.com:51820"    # where other hosts find it; none behind a NAT
    [hosts.laptop]
    address = "10.77.0.9"       # in the order of the file when left out
    listen = 51821              # UDP port; the endpoint's, or any, when left out
    public-key = "…"            # when its private key is made elsewhere
    next-public-key = "…"       # the one that takes over (see rotation)

Of two hosts that meet, one must have an endpoint. A host on the way between two others forwards.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from underpass.drivers.ssh.route import is_host
from underpass.drivers.wireguard.errors import HostUnknown, TopologyInvalid
from underpass.drivers.wireguard.key_text import is_key

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

SHAPES: Final = ("hub", "mesh", "chain")
MAX_BYTES: Final = 256 * 1024
MAX_HOSTS: Final = 256
KEEPALIVE: Final = 25
MTU: Final = 1420
# 1500 less IPv6, UDP and WireGuard's own 32 bytes; also wg-quick's default.

_NETWORK: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_NETWORK_KEYS: Final = ("name", "shape", "subnet", "hub", "keepalive", "mtu", "preshared")
_HOST_KEYS: Final = ("address", "endpoint", "listen", "public-key", "next-public-key")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a host is found from outside."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Host:
    """One host of the network."""

    name: str
    address: Address
    endpoint: Endpoint | None = None
    listen: int = 0
    public_key: str = ""
    next_public_key: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole network. Made by ``parse_topology``."""

    name: str
    shape: str
    subnet: Subnet
    hosts: Mapping[str, Host]
    """In the order of the file."""
    hub: str = ""
    keepalive: int = KEEPALIVE
    mtu: int = MTU
    preshared: bool = False
    _next_hops: dict[str, dict[str, str]] = field(default_factory=dict, repr=False, compare=False)

    def host(self, name: str) -> Host:
        """The host of that name. Raises ``HostUnknown``."""
        if name not in self.hosts:
            raise HostUnknown(name[:40], ", ".join(self.hosts))
        return self.hosts[name]

    def neighbours(self, name: str) -> tuple[str, ...]:
        """The hosts that ``name`` meets itself."""
        others = tuple(each for each in self.hosts if each != name)
        if self.shape == "mesh":
            return others
        if self.shape == "hub":
            return others if name == self.hub else (self.hub,)
        order = list(self.hosts)
        at = order.index(name)
        return tuple(order[near] for near in (at - 1, at + 1) if 0 <= near < len(order))

    def reached_by(self, name: str, neighbour: str) -> tuple[Host, ...]:
        """The hosts that ``name`` reaches by ``neighbour``, itself first."""
        hops = self._hops(name)
        return tuple(self.hosts[far] for far in hops if hops[far] == neighbour)

    def forwards(self, name: str) -> bool:
        """Whether ``name`` is on the way between two others."""
        return any(len(self.reached_by(other, name)) > 1 for other in self.neighbours(name))

    def links(self) -> Iterator[tuple[str, str]]:
        """Every pair that meets, once."""
        for name in self.hosts:
            for other in self.neighbours(name):
                if name < other:
                    yield name, other

    def _hops(self, name: str) -> dict[str, str]:
        """For each other host, nearest first, the neighbour that leads there."""
        if name not in self._next_hops:
            hops: dict[str, str] = {near: near for near in self.neighbours(name)}
            queue = deque(hops)
            while queue:
                at = queue.popleft()
                for far in self.neighbours(at):
                    if far != name and far not in hops:
                        hops[far] = hops[at]
                        queue.append(far)
            self._next_hops[name] = hops
        return self._next_hops[name]


def parse_topology(text: str, path: str = "topology.toml") -> Topology:
    """Read and judge. Raises ``TopologyInvalid``, which names every mistake; ``path`` is for it."""
    if len(text.encode()) > MAX_BYTES:
        raise TopologyInvalid(path, f"it is larger than {MAX_BYTES // 1024} KiB")
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it nests too deeply"
        raise TopologyInvalid(path, _printable(why)) from None
    mistakes: list[str] = []
    found = _Reader(mistakes).topology(tables)
    if found is None or mistakes:
        raise TopologyInvalid(path, "; ".join(mistakes[:20]))
    return found


class _Reader:
    """Reads tables, and notes what is wrong instead of stopping at it."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes

    def topology(self, tables: dict[str, Any]) -> Topology | None:
        for key in tables:
            if key not in ("network", "hosts"):
                self.mistakes.append(f"there is no table {_shown(key)}: only network and hosts")
        network, hosts = tables.get("network"), tables.get("hosts")
        if not isinstance(network, dict):
            self.mistakes.append("it has no table [network]")
            network = {}
        if not isinstance(hosts, dict) or not 2 <= len(hosts) <= MAX_HOSTS:
            self.mistakes.append(f"it has from 2 to {MAX_HOSTS} tables [hosts.NAME]")
            return None
        self._unknown(network, _NETWORK_KEYS, "network")
        shape = network.get("shape", "hub")
        if shape not in SHAPES:
            self.mistakes.append("network.shape is one of " + ", ".join(SHAPES))
        subnet = self._subnet(network.get("subnet"))
        name = network.get("name")
        if not isinstance(name, str) or not _NETWORK.fullmatch(name):
            self.mistakes.append('network.name is 1 to 10 of a-z, 0-9 and "-"')
        hub = network.get("hub", next(iter(hosts)) if shape == "hub" else "")
        if shape != "hub" and hub:
            self.mistakes.append("network.hub is for the shape hub")
        elif shape == "hub" and hub not in hosts:
            self.mistakes.append(f"network.hub names no host: {_shown(hub)}")
        keepalive = self._number(network, "keepalive", KEEPALIVE, 0, 65_535, "network")
        # 1280 is the least that IPv6 works with.
        mtu = self._number(network, "mtu", MTU, 1_280, 9_000, "network")
        preshared = network.get("preshared", False)
        if not isinstance(preshared, bool):
            self.mistakes.append("network.preshared is true or false")
        known = self._hosts(hosts, subnet)
        if self.mistakes or subnet is None:
            return None
        found = Topology(str(name), shape, subnet, known, hub, keepalive, mtu, preshared)
        for one, other in found.links():
            if known[one].endpoint is None and known[other].endpoint is None:
                self.mistakes.append(f"{one} and {other} cannot meet: neither has an endpoint")
        return found

    def _hosts(self, tables: dict[str, Any], subnet: Subnet | None) -> dict[str, Host]:
        known: dict[str, Host] = {}
        wanted = {
            str(each["address"])
            for each in tables.values()
            if isinstance(each, dict) and "address" in each
        }
        free = (each for each in (subnet.hosts() if subnet else ()) if str(each) not in wanted)
        for name, table in tables.items():
            if not _HOST.fullmatch(name):
                self.mistakes.append(f"{_shown(name)} is no host name of a-z, 0-9 and -")
            elif not isinstance(table, dict):
                self.mistakes.append(f"hosts.{name} is a table")
            elif (host := self._host(name, table, subnet, free)) is not None:
                known[name] = host
        for field_name in ("address", "public_key", "next_public_key"):
            values = [str(getattr(host, field_name)) for host in known.values()]
            values = [value for value in values if value]
            if len(set(values)) < len(values):
                self.mistakes.append(f"two hosts have the same {field_name.replace('_', '-')}")
        return known

    def _host(
        self, name: str, table: dict[str, Any], subnet: Subnet | None, free: Iterator[Address]
    ) -> Host | None:
        where = f"hosts.{name}"
        self._unknown(table, _HOST_KEYS, where)
        endpoint = self._endpoint(table.get("endpoint"), where)
        default = endpoint.port if endpoint is not None else 0
        listen = self._number(table, "listen", default, 0, 65_535, where)
        keys = {}
        for key in ("public-key", "next-public-key"):
            keys[key] = table.get(key, "")
            if keys[key] and not is_key(keys[key]):
                self.mistakes.append(f"{where}.{key} is not 32 bytes in base64")
        if "address" in table:
            address = self._address(table["address"], subnet, where)
        else:
            address = next(free, None)
            if address is None and subnet is not None:
                self.mistakes.append(f"{where}: the subnet {subnet} has no address left")
        if address is None:
            return None
        return Host(name, address, endpoint, listen, keys["public-key"], keys["next-public-key"])

    def _subnet(self, value: object) -> Subnet | None:
        try:
            if not isinstance(value, str) or "/" not in value:
                raise ValueError
            found = ipaddress.ip_network(value)
        except ValueError:
            self.mistakes.append("network.subnet is a network like 10.77.0.0/24")
            return None
        if not found.is_private or found.is_loopback or found.is_link_local or found.prefixlen < 8:
            # A public or an all-embracing network would take the machine's own routes away.
            self.mistakes.append(f"network.subnet is a private network, not {found}")
            return None
        return found

    def _address(self, value: object, subnet: Subnet | None, where: str) -> Address | None:
        try:
            found = ipaddress.ip_address(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None or (subnet is not None and found not in subnet):
            self.mistakes.append(f"{where}.address is an address in network.subnet")
            return None
        is_outer = subnet is not None and found in (
            subnet.network_address,
            subnet.broadcast_address,
        )
        if is_outer and subnet is not None and subnet.num_addresses > 2:
            self.mistakes.append(f"{where}.address is the subnet's own, not a host's")
        return found

    def _endpoint(self, value: object, where: str) -> Endpoint | None:
        if value is None:
            return None
        found = read_endpoint(value) if isinstance(value, str) else None
        if found is None:
            self.mistakes.append(f"{where}.endpoint is HOST:PORT or [V6]:PORT")
        return found

    def _number(
        self, table: dict[str, Any], key: str, default: int, low: int, high: int, where: str
    ) -> int:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.mistakes.append(f"{where}.{key} is a number")
            return default
        if not low <= value <= high and not (low and value == default):
            self.mistakes.append(f"{where}.{key} lies between {low} and {high}")
        return value

    def _unknown(self, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                self.mistakes.append(f"{where} knows no {_shown(key)}, only " + ", ".join(known))


def read_endpoint(text: str) -> Endpoint | None:
    """``HOST:PORT`` or ``[V6]:PORT``; None for anything else. Pure."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            return None
    elif ":" in host:
        return None
    is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536
    if not colon or not is_port or not host.isascii() or not is_host(host):
        return None
    return Endpoint(host, int(port))


def _shown(value: object) -> str:
    return repr(_printable(str(value))[:40])


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
