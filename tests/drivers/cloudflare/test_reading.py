"""Lines of a real cloudflared, and lines that want to be taken for such."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.cloudflare.driver import CloudflareDriver
from underpass.drivers.cloudflare.reading import (
    FOREIGN,
    Began,
    Counting,
    Joined,
    Named,
    Parted,
    Reading,
    Reconfigured,
    read_line,
)
from underpass.drivers.observations import Carrying, Faltering, Refusal

pytestmark = pytest.mark.pure

DOOR = "http://127.0.0.1:4000"


def line(message: str, **fields: Any) -> str:
    return json.dumps({"level": "info", "message": message, **fields})


BEGAN = line("Starting tunnel", tunnelID="11111111-2222-3333-4444-555555555555")
BOX = line("|  https://two-words-more.trycloudflare.com                            |")


def joined(index: int) -> str:
    return line("Registered tunnel connection", connIndex=index, location="ams01")


def parted(index: int) -> str:
    return line("Lost connection with the edge", connIndex=index)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BEGAN, Began()),
        (line("Thank you for trying Cloudflare Tunnel. Doing so, …"), Began()),
        (BOX, Named("two-words-more.trycloudflare.com")),
        (line("|  https://a.b.localhost:8443  |"), Named("a.b.localhost:8443")),
        (joined(3), Joined(3)),
        (line("Starting metrics server on 127.0.0.1:2000/metrics"), Counting(2000)),
        (line("Starting metrics server on 192.0.2.1:2000/metrics"), None),
        (parted(0), Parted(0)),
        (line("Connection terminated", connIndex=2, error="EOF"), Parted(2)),
        (line("Updated to new configuration", config='{"ingress":[{"service":"unix:/a"}]}'),
         Reconfigured(("unix:/a",))),
        (line("Updated to new configuration", config="no"), Reconfigured(("unreadable",))),
        (line("failed to serve incoming request", error="Failed to proxy HTTP: x"), None),
        (line("failed to serve incoming request", error="already connected to this server"), None),
        (line("Request failed", error="see https://api.trycloudflare.com"), None),
        ("https://api.trycloudflare.com", None),
        ('{"message": 3}', None),
        ("{", None),
        ("", None),
    ],
)  # fmt: skip
def test_lines_are_read_for_what_they_say(text: str, said: object) -> None:
    assert read_line(text) == said


def test_no_address_is_taken_from_anywhere_but_the_box() -> None:
    reading = Reading()
    for text in (
        line("Requesting new quick Tunnel on https://api.trycloudflare.com"),
        line("x |  https://evil.example.com  |"),
        line("|  https://evil.example.com/path  |"),
        line("|  https://user@evil.example.com  |"),
        line("ok", error="|  https://evil.example.com  |"),
        "|  https://evil.example.com  |",
    ):
        reading.read(text)
    assert reading.read(joined(0)) == Carrying("")


def test_a_quick_tunnel_carries_when_it_is_registered_and_not_when_it_is_named() -> None:
    reading = Reading()
    assert reading.read(BOX) is None
    assert reading.read(joined(0)) == Carrying("https://two-words-more.trycloudflare.com")


def test_a_quick_byte_stream_has_a_port_in_its_address() -> None:
    reading = Reading(scheme="tcp")
    reading.read(BOX)
    assert reading.read(joined(0)) == Carrying("tcp://two-words-more.trycloudflare.com:443")


def test_it_falters_when_the_last_connection_is_lost() -> None:
    reading = Reading()
    for index in range(4):
        reading.read(joined(index))
    assert [reading.read(parted(index)) for index in (0, 2, 1, 1)] == [None] * 4
    assert isinstance(reading.read(parted(3)), Faltering)
    assert reading.is_lost
    assert isinstance(reading.read(joined(2)), Carrying)


def test_a_new_run_knows_nothing_of_the_one_before() -> None:
    reading = Reading()
    reading.read(BOX)
    reading.read(joined(0))
    reading.read(BEGAN)
    assert reading.read(parted(0)) is None
    assert reading.read(joined(0)) == Carrying("")


REFUSALS = [
    ("Provided Tunnel token is not valid.", "credential-refused", True),
    ("Failed to read token file: open /x: no such file", "credential-missing", True),
    ("Tunnel credentials file '/x' doesn't exist or is not a file", "credential-missing", True),
    ("couldn't read tunnel credentials from /x", "credential-refused", True),
    (
        "The tunnel credentials file should be .json but you gave a .pem. The tunnel credentials",
        "credential-refused",
        True,
    ),
    ("failed to request quick Tunnel: dial tcp: lookup", "far-end-unreachable", False),
    ("failed to parse quick Tunnel ID: invalid UUID length: 0", "quota-hit", True),
    (line("edge discovery: error looking up Cloudflare edge IPs"), "name-lookup-failed", False),
    (
        line("Error unmarshaling QuickTunnel response: 1015", status_code="429 -"),
        "quota-hit",
        True,
    ),
    (
        line("Error unmarshaling QuickTunnel response: <html>", status_code="500 Internal"),
        "quick-refused",
        True,
    ),
    (
        line("Register tunnel error from server side", error="Unauthorized: Invalid tunnel secret"),
        "credential-refused",
        True,
    ),
    (
        line("failed to serve incoming request", error="Unauthorized: Tunnel not found"),
        "tunnel-missing",
        True,
    ),
    (
        line("failed to serve incoming request", error="Rate limited"),
        "registration-refused",
        False,
    ),
    (
        line("Serve tunnel error", connIndex=0, error="DialContext error: dial tcp"),
        "far-end-unreachable",
        False,
    ),
    (
        line("Unable to establish connection with Cloudflare edge",
             error="TLS handshake with edge error: x509"),
        "far-end-strange",
        False,
    ),
    (
        line("Failed to dial a quic connection",
             error="failed to dial to edge with quic: timeout: no recent network activity"),
        "far-end-unreachable",
        False,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "fatal"), REFUSALS)
def test_every_failure_has_a_code_a_cause_and_a_hint(text: str, code: str, fatal: bool) -> None:
    said = CloudflareDriver().read(text)
    assert isinstance(said, Refusal)
    assert (said.code, said.fatal) == (code, fatal)
    assert said.detail
    assert said.hint


def config(*services: str) -> str:
    told = json.dumps({"ingress": [{"service": each} for each in services]})
    return line("Updated to new configuration", config=told, version=1)


@pytest.mark.parametrize(
    "services",
    [("http://127.0.0.1:3001",), (DOOR, "http://127.0.0.1:3001"), (f"{DOOR}1",), (), ("bastion",)],
)
def test_a_configuration_that_leads_past_the_gates_is_final(services: tuple[str, ...]) -> None:
    reading = Reading(door=DOOR)
    said = reading.read(config(*services))
    assert isinstance(said, Refusal)
    assert (said.code, said.fatal) == (FOREIGN, True)
    assert reading.read(joined(0)) is None


def test_a_configuration_that_is_too_long_to_be_read_is_final() -> None:
    told = '{"config":"' + "x" * (2 << 20) + '","message":"Updated to new configuration"}'
    for text in (told, told[: 1 << 20], '{"config":"{'):
        said = Reading(door=DOOR).read(text)
        assert isinstance(said, Refusal)
        assert said.code == FOREIGN


def test_a_configuration_that_leads_to_the_gatehouse_is_ours() -> None:
    reading = Reading(door=DOOR)
    assert reading.read(config(DOOR, "http_status:503")) is None
    assert isinstance(reading.read(joined(0)), Carrying)


@given(st.text() | st.dictionaries(st.text(), st.integers() | st.text()).map(json.dumps))
def test_no_line_breaks_it(text: str) -> None:
    said = Reading(door=DOOR).read(text)
    assert not isinstance(said, Carrying) or "Registered tunnel connection" in text
