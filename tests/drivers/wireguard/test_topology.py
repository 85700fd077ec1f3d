from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.wireguard.errors import HostUnknown, TopologyInvalid
from underpass.drivers.wireguard.topology import (
    MAX_BYTES,
    Endpoint,
    Host,
    Topology,
    parse_topology,
    read_endpoint,
)
from underpass.testing.hostile import HOSTILE

pytestmark = pytest.mark.pure

KEY = "mHz1uqUq3XU0XQGZCeZUgMOhy1wJ3HLfMoDLyCqMT2M="


def network(hosts: str, **more: str) -> str:
    lines = {"name": '"mesh"', "subnet": '"10.77.0.0/24"', **more}
    head = "\n".join(f"{key} = {value}" for key, value in lines.items() if value)
    return f"[network]\n{head}\n{hosts}"


HUB = network('[hosts.relay]\nendpoint = "relay.example.com:51820"\n[hosts.a]\n[hosts.b]\n')


def addresses(topology: Topology, name: str, neighbour: str) -> list[str]:
    return [str(host.address) for host in topology.reached_by(name, neighbour)]


def test_a_hub_is_the_way_to_everybody() -> None:
    topology = parse_topology(HUB)
    assert topology.hub == "relay"
    assert topology.neighbours("a") == ("relay",)
    assert topology.neighbours("relay") == ("a", "b")
    assert addresses(topology, "a", "relay") == ["10.77.0.1", "10.77.0.3"]
    assert addresses(topology, "relay", "a") == ["10.77.0.2"]
    assert topology.forwards("relay")
    assert not topology.forwards("a")
    assert topology.hosts["relay"].listen == 51_820


def test_in_a_mesh_everybody_meets_everybody_and_nobody_forwards() -> None:
    hosts = "".join(f'[hosts.{name}]\nendpoint = "{name}.example:1"\n' for name in "abc")
    topology = parse_topology(network(hosts, shape='"mesh"'))
    assert topology.neighbours("b") == ("a", "c")
    assert addresses(topology, "b", "c") == ["10.77.0.3"]
    assert not any(topology.forwards(name) for name in "abc")
    assert list(topology.links()) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_a_chain_leads_along_its_hosts() -> None:
    hosts = "".join(f'[hosts.{name}]\nendpoint = "{name}.example:1"\n' for name in "abcd")
    topology = parse_topology(network(hosts, shape='"chain"'))
    assert addresses(topology, "a", "b") == ["10.77.0.2", "10.77.0.3", "10.77.0.4"]
    assert addresses(topology, "c", "b") == ["10.77.0.2", "10.77.0.1"]
    assert [topology.forwards(name) for name in "abcd"] == [False, True, True, False]


def test_chosen_addresses_are_kept_and_others_take_what_is_left() -> None:
    topology = parse_topology(
        network(
            '[hosts.a]\n[hosts.b]\naddress = "10.77.0.1"\nendpoint = "[2001:db8::1]:5"\n'
            "[hosts.c]\n",
            hub='"b"',
        )
    )
    assert [str(host.address) for host in topology.hosts.values()] == [
        "10.77.0.2",
        "10.77.0.1",
        "10.77.0.3",
    ]
    assert topology.hosts["b"].endpoint == Endpoint("2001:db8::1", 5)


def test_ipv6_networks_are_networks() -> None:
    hosts = '[hosts.a]\nendpoint = "a.example:1"\n[hosts.b]\n'
    topology = parse_topology(network(hosts, subnet='"fd12:3456:789a::/64"'))
    assert str(topology.hosts["b"].address) == "fd12:3456:789a::2"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "no table [network]"),
        ("[network", "Expected ']'"),
        (network("[hosts.a]\n"), "from 2 to"),
        (network("[hosts.a]\n[hosts.b]\n"), "cannot meet: neither has an endpoint"),
        (HUB.replace("10.77.0.0/24", "8.8.8.0/24"), "private network"),
        (HUB.replace("10.77.0.0/24", "0.0.0.0/0"), "private network"),
        (HUB.replace("10.77.0.0/24", "10.77.0.0/31"), "no address left"),
        (HUB.replace("10.77.0.0/24", "10.77.0.5/24"), "a network like"),
        (HUB.replace('"mesh"', '"Mesh!"'), "network.name"),
        (HUB + 'address = "10.78.0.1"\n', "an address in network.subnet"),
        (HUB + 'address = "10.77.0.255"\n', "the subnet's own"),
        (HUB + 'address = "10.77.0.9"\n[hosts.c]\naddress = "10.77.0.9"\n', "same address"),
        (HUB + 'public-key = "abc"\n', "not 32 bytes"),
        (HUB + f'public-key = "{KEY}"\n[hosts.c]\npublic-key = "{KEY}"\n', "same public-key"),
        (HUB + 'listen = "x"\n', "is a number"),
        (HUB + "listen = 65536\n", "between 0 and 65535"),
        (HUB + 'PostUp = "id"\n', "knows no 'PostUp'"),
        (HUB.replace("[network]", '[network]\nshape = "star"'), "network.shape is one of"),
        (HUB.replace("[network]", '[network]\nhub = "x"'), "names no host"),
        (HUB.replace("[network]", "[network]\nkeepalive = 70000"), "network.keepalive"),
        ("#" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_wrong_is_named(text: str, mistake: str) -> None:
    with pytest.raises(TopologyInvalid) as caught:
        parse_topology(text)
    assert caught.value.code == "topology-invalid"
    assert mistake in caught.value.message


def test_all_mistakes_are_named_at_once() -> None:
    text = HUB.replace('"mesh"', '"-"') + 'listen = -1\npublic-key = "x"\n'
    with pytest.raises(TopologyInvalid) as caught:
        parse_topology(text)
    assert caught.value.why.count(";") == 2


def test_a_host_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(HostUnknown, match="'x'") as caught:
        parse_topology(HUB).host("x")
    assert caught.value.code == "topology-host-unknown"
    assert caught.value.hint == "its hosts are relay, a, b"


def read_or_refuse(text: str) -> list[Host]:
    """The hosts of a topology; none of one that is refused, in words fit for a terminal."""
    found: list[Host] = []
    with suppress(TopologyInvalid):
        found += parse_topology(text).hosts.values()
    if not found:
        with pytest.raises(TopologyInvalid) as caught:
            parse_topology(text)
        assert caught.value.message.isprintable(), text
    return found


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(each):08x}" for each in text) + '"'


@pytest.mark.parametrize("key", ["endpoint", "address", "public-key", "listen", "host", "name"])
def test_hostile_words_are_refused_or_harmless(key: str) -> None:
    assert len(HOSTILE) >= 200
    for text in HOSTILE:
        value = quoted(text)
        if key == "host":
            written = HUB + f"[hosts.{value}]\n"
        elif key == "name":
            written = HUB.replace('"mesh"', value)
        else:
            written = HUB + f"{key} = {value}\n"
        for host in read_or_refuse(written):
            words = [host.name, str(host.address), str(host.endpoint or "")]
            assert not any(set(word) & set(" \n\r\t;'\"$`|&<>\\%{}*?#!=,@") for word in words), text
            assert not any(word.startswith("-") for word in words), text


@pytest.mark.parametrize(
    "text", ["", "h", "h:", ":1", "h:0", "h:65536", "h:٣", "::1:5", "[h]:5", "[::1]", "a b:1"]
)
def test_what_is_no_endpoint_is_none(text: str) -> None:
    assert read_endpoint(text) is None


@given(st.integers(2, 12), st.sampled_from(["hub", "mesh", "chain"]), st.randoms())
def test_everybody_reaches_everybody_by_exactly_one_neighbour(
    count: int, shape: str, chance: random.Random
) -> None:
    names = [f"h{number}" for number in range(count)]
    chance.shuffle(names)
    hosts = "".join(f'[hosts.{name}]\nendpoint = "{name}.example:1"\n' for name in names)
    topology = parse_topology(network(hosts, shape=f'"{shape}"'))
    for name in names:
        reached = [
            host.name
            for near in topology.neighbours(name)
            for host in topology.reached_by(name, near)
        ]
        assert sorted(reached) == sorted(set(names) - {name})
        for near in topology.neighbours(name):
            assert name in topology.neighbours(near)


def test_the_example_in_the_documentation_is_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "wireguard.md"
    example = page.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    topology = parse_topology(example.replace('"…"', f'"{KEY}"'))
    assert [str(host.address) for host in topology.hosts.values()] == [
        "10.77.0.1",
        "10.77.0.2",
        "10.77.0.9",
    ]
