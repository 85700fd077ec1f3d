"""ssh's own words, as seen, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.observations import Carrying, Refusal
from underpass.drivers.ssh.reading import read_line, read_local
from underpass.drivers.ssh.route import Hop, is_host, parse_route
from underpass.testing.hostile import HOSTILE

SEEN = {
    "Error: remote port forwarding failed for listen port 8080": "port-taken",
    "Warning: remote port forwarding failed for listen port 8080": "port-taken",
    "bind [127.0.0.1]:5432: Address already in use": "",
    "channel_setup_fwd_listener_tcpip: cannot listen to port: 5432": "local-port-taken",
    "Could not request local forwarding.": "local-port-taken",
    "alice@host: Permission denied (publickey).": "credential-refused",
    "Host key verification failed.": "host-key-unknown",
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @": "host-key-changed",
    "ssh: connect to host 10.0.0.1 port 22: Connection refused": "far-end-unreachable",
    "ssh: connect to host 10.0.0.1 port 22: No route to host": "far-end-unreachable",
    "ssh: Could not resolve hostname nowhere: Name or service not known": "name-not-found",
    "kex_exchange_identification: Connection closed by remote host": "far-end-closed",
    "kex_exchange_identification: read: Connection reset by peer": "far-end-closed",
    "Connection closed by 10.0.0.1 port 22": "far-end-closed",
    "Connection to 10.0.0.1 closed by remote host.": "far-end-closed",
    "client_loop: send disconnect: Broken pipe": "far-end-closed",
    "Timeout, server 10.0.0.1 not responding.": "far-end-silent",
    "/run/ssh.conf: line 3: Bad configuration option: nonsense": "option-unknown",
    'unix_listener: path "/a/b" too long for Unix domain socket': "path-too-long",
    'Authenticated to 127.0.0.1 ([127.0.0.1]:2291) using "publickey".': "",
    "debug1: Offering public key: /k ED25519 SHA256:x explicit": "",
    "Connection established.": "",
    "Allocated port 99999 for remote forward to 127.0.0.1:1": "",
}

FINAL = {"credential-refused", "host-key-unknown", "host-key-changed", "option-unknown"}


@pytest.mark.parametrize(("line", "code"), SEEN.items())
def test_lines_seen_from_the_real_program(line: str, code: str) -> None:
    found = read_line(line)
    assert (found.code if isinstance(found, Refusal) else "") == code
    if isinstance(found, Refusal):
        assert found.fatal == (code in FINAL or code == "path-too-long")
        assert found.detail[0].islower()


def test_what_ssh_calls_a_success() -> None:
    line = "Allocated port 40749 for remote forward to /run/door.sock:-2\r"
    assert read_line(line) == Carrying(port=40749)
    success = "debug1: remote forward success for: listen 127.0.0.1:{}, connect /door:-2"
    assert read_line(success.format(8080)) == Carrying()
    # For port 0 the number comes in the next line.
    assert read_line(success.format(0)) is None
    assert read_local("debug1: Entering interactive session.") == Carrying()
    assert read_line("debug1: Entering interactive session.") is None


@given(st.text(max_size=3_000))
def test_any_line_is_read_and_no_detail_can_steer_a_terminal(line: str) -> None:
    for read in (read_line, read_local):
        found = read(line)
        if isinstance(found, Refusal):
            assert found.detail.isprintable()


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("host", (Hop("host"),)),
        ("alice@bastion.example.com:2222", (Hop("bastion.example.com", "alice", 2222),)),
        ("a,b@c", (Hop("a"), Hop("c", "b"))),
        ("bob@[2001:db8::7]:22", (Hop("2001:db8::7", "bob", 22),)),
        ("db_1", (Hop("db_1"),)),
    ],
)
def test_a_way_reads_back_as_it_was_written(text: str, hops: tuple[Hop, ...]) -> None:
    assert parse_route(text) == hops
    assert ",".join(map(str, hops)) == text


def test_no_hostile_string_becomes_anything_but_a_name() -> None:
    assert len(HOSTILE) >= 200
    for text in HOSTILE:
        try:
            hops = parse_route(text)
        except EngineOptionInvalid:
            continue
        for hop in hops:
            assert is_host(hop.host), text
            assert not hop.host.startswith("-"), text
            assert not hop.user.startswith("-"), text
