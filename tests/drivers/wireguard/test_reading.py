from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.observations import Carrying, Refusal
from underpass.drivers.plans import Detection, DoorAddress, DoorKind, Site
from underpass.drivers.wireguard.driver import WireGuardDriver
from underpass.drivers.wireguard.errors import TopologyInvalid
from underpass.drivers.wireguard.probes import echo_request, read_reply
from underpass.drivers.wireguard.reading import read_line, read_rejected
from underpass.drivers.wireguard.rules import ruleset, table_name
from underpass.drivers.wireguard.settings import WireGuardSettings
from underpass.drivers.wireguard.witness import read_request
from underpass.model.errors import Misuse
from underpass.model.spec import parse_spec
from underpass.testing.hostile import HOSTILE

PREFIX = "DEBUG: (upw-mesh) 2026/01/01 00:00:00 "

TEXT = """
[network]
name = "mesh"
subnet = "10.77.0.0/24"
[hosts.relay]
endpoint = "192.0.2.1:51820"
[hosts.laptop]
"""


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (f"{PREFIX}Received invalid initiation message from 10.1.2.3:51820", "10.1.2.3"),
        (f"{PREFIX}Received invalid response message from [2001:db8::1]:9", "2001:db8::1"),
        (f"{PREFIX}Received packet with invalid mac1", ""),
        (f"{PREFIX}peer(abcd…wxyz) - Sending keepalive packet", None),
        ("", None),
        ("\0" * 9_000, None),
    ],
)
def test_a_call_by_a_stranger_is_read(line: str, address: str | None) -> None:
    assert read_rejected(line) == address
    assert read_line(line) is None


@pytest.mark.parametrize(
    ("line", "code", "fatal"),
    [
        ("ERROR: (u) Failed to create TUN device: operation not permitted", None, True),
        ("ERROR: (u) Failed to create TUN device: device or resource busy", None, False),
        ("ERROR: (u) Failed to listen on uapi socket: unix socket in use", "interface-taken", True),
        ("underpass-rootless-refused port address already in use", "port-taken", False),
        ("underpass-rootless-refused topology-invalid cannot use it", "topology-invalid", True),
    ],
)
def test_what_a_program_refuses_is_read(line: str, code: str | None, fatal: bool) -> None:
    found = read_line(line)
    assert isinstance(found, Refusal)
    assert found.code == (code or "interface-refused")
    assert found.fatal == fatal
    assert found.detail


def test_only_the_rootless_program_says_that_it_carries() -> None:
    driver = WireGuardDriver()
    assert driver.read("underpass-rootless-carrying 8080") == Carrying(port=8080)
    for line in ("underpass-rootless-carrying", "underpass-rootless-carrying 123456", "carrying 1"):
        assert driver.read(line) is None


def site(**options: str) -> Site:
    detection = Detection(
        True, "/opt/wireguard-go", "1", facts={"mode": "wireguard-go", "topology": TEXT}
    )
    return Site(
        "tools",
        Path("/run/engine-x"),
        options={"topology": "/net/mesh.toml", "host": "laptop", **options},
        environment={"PATH": "/bin"},
        detection=detection,
        door=DoorAddress(unix=Path("/run/engine-x/door.sock")),
    )


def test_the_plan_says_all_that_will_be() -> None:
    plan = WireGuardDriver().plan(parse_spec("3001"), site(port="8080"))
    assert plan.argv == ("/opt/wireguard-go", "-f", "upw-mesh")
    assert plan.url == "http://10.77.0.2:8080"
    assert plan.door is DoorKind.NONE
    plan = WireGuardDriver().plan(
        parse_spec("tcp://127.0.0.1:5 --public --for 1h"), site(netns="n")
    )
    assert plan.argv[:4] == ("ip", "netns", "exec", "n")
    assert plan.url == "tcp://10.77.0.2:0"


def test_an_ip_gate_is_kept_by_the_tunnel_and_not_without_rights() -> None:
    spec = parse_spec("3001 --gate ip:10.77.0.0/24")
    assert WireGuardDriver().plan(spec, site())
    without = site()
    facts = {"mode": "rootless", "topology": TEXT}
    rootless = Site(
        "tools",
        without.directory,
        options=without.options,
        detection=Detection(True, "stack", facts=facts),
    )
    with pytest.raises(EngineCannot, match="ip gate"):
        WireGuardDriver().plan(spec, rootless)
    plan = WireGuardDriver().plan(parse_spec("3001"), rootless)
    assert plan.door is DoorKind.UNIX
    assert len(plan.limits) == 3
    facts["topology"] = TEXT.replace("[hosts.relay]", "preshared = true\n[hosts.relay]")
    with pytest.raises(EngineCannot, match="preshared"):
        WireGuardDriver().plan(parse_spec("3001"), rootless)


def test_what_cannot_be_is_refused_when_planning() -> None:
    driver, spec = WireGuardDriver(), parse_spec("3001")
    with pytest.raises(EngineCannot, match="bearer gate on a tcp tunnel"):
        driver.plan(parse_spec("tcp://127.0.0.1:5"), site())
    unusable = site()
    with pytest.raises(EngineMissing, match="no rights"):
        driver.plan(
            spec,
            Site(
                "t",
                Path("/x"),
                options=unusable.options,
                detection=Detection(True, why_not="no rights"),
            ),
        )
    broken = Detection(True, "p", facts={"topology": "x"})
    with pytest.raises(TopologyInvalid):
        driver.plan(spec, Site("t", Path("/x"), options=unusable.options, detection=broken))


@pytest.mark.parametrize(
    "options",
    [
        {"topology": "/t", "host": ""},
        {"host": "a"},
        {"via": "laptop"},
        {"topology": "/t", "host": "a", "port": "65536"},
        {"topology": "/t", "host": "a", "mode": "magic"},
        {"topology": "/t", "host": "a", "interface": "-x"},
        {"topology": "/t", "host": "a", "netns": "../x"},
        {"topology": "/t", "host": "a", "witness": "A"},
        {"topology": "-t", "host": "a"},
        {"topology": "/t", "host": "a", "keyfile": "x"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(EngineOptionInvalid):
        WireGuardSettings.parse(options)


def test_via_names_host_and_file_in_one_word() -> None:
    settings = WireGuardSettings.parse({"via": "laptop@/net/a@b.toml"})
    assert (settings.host, settings.topology) == ("laptop", Path("/net/a@b.toml"))
    assert settings.keys == Path("/net/a@b.keys")


@pytest.mark.parametrize(
    "key", ["topology", "host", "keys", "port", "listen", "mode", "witness", "interface", "netns"]
)
def test_hostile_options_are_refused_or_stay_one_harmless_word(key: str) -> None:
    driver, spec = WireGuardDriver(), parse_spec("3001")
    for text in HOSTILE:
        try:
            plan = driver.plan(spec, site(**{key: text}))
        except Misuse:
            continue
        for word in plan.argv:
            assert word.isprintable(), (text, word)
        assert not text.startswith("-"), (key, text)
        if key in ("interface", "netns", "host", "witness"):
            assert set(text) <= set(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
            )


@pytest.mark.parametrize("address", ["10.77.0.2", "fd12::2"])
@pytest.mark.parametrize("forwards", [True, False])
def test_rules_are_ones_that_nft_understands(address: str, forwards: bool) -> None:
    if shutil.which("nft") is None and not os.environ.get("CI"):
        pytest.skip("nft is missing: make packages")
    text = ruleset(
        table_name("upw-mesh", 7),
        "upw-mesh",
        ipaddress.ip_address(address),
        (8080,),
        forwards=forwards,
    )
    done = subprocess.run(
        ["nft", "--check", "-f", "-"], input=text, capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr and not os.environ.get("CI"):
        pytest.skip("nft checks nothing without rights")
    assert (done.returncode, done.stderr) == (0, "")
    assert ('oifname "upw-mesh" accept' in text) == forwards


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"underpass-witness/1 \n",
        b"underpass-witness/1 0\n",
        b"GET / HTTP/1.1\n",
        b"underpass-witness/1 65536\n",
        b"underpass-witness/1 -1\n",
        b"underpass-witness/1 1 2\n",
    ],
)
def test_a_witness_is_asked_for_a_port_and_nothing_else(line: bytes) -> None:
    with pytest.raises(ValueError, match="no request"):
        read_request(line)
    assert read_request(b"underpass-witness/1 8080\n") == 8080


def test_echoes_are_known_by_their_token() -> None:
    token = bytes(range(16))
    request = echo_request(4, token)
    assert len(request) == 24
    reply = bytes([0x45]) + bytes(19) + b"\0\0" + request[2:]
    assert read_reply(4, reply) == token
    assert read_reply(4, bytes([0x45]) + bytes(19) + request) is None
    assert read_reply(6, b"\x81" + echo_request(6, token)[1:]) == token
    for nonsense in (b"", b"\x45", b"\x4f" * 10, bytes(24)):
        assert read_reply(4, nonsense) is None
