"""Each layer of an HTTP tunnel is broken in turn; the probe must name it."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from underpass.guard.gates import Pass
from underpass.http.messages import ResponseHead
from underpass.model.verdict import Layer, LayerStatus
from underpass.prove import findings
from underpass.prove.door import Trust
from underpass.prove.probes import Identity
from underpass.prove.verdicts import Outcome

PASSED, FAILED, SKIPPED = LayerStatus.PASSED, LayerStatus.FAILED, LayerStatus.SKIPPED

OpenTunnel = Any


def statuses(outcome: Outcome) -> dict[Layer, LayerStatus]:
    return {layer: result.status for layer, result in outcome.layers.items()}


def fault(outcome: Outcome) -> tuple[Layer | None, str]:
    layer = outcome.failed
    return layer, "" if layer is None else outcome.layers[layer].code


async def test_a_probe_goes_through_to_the_origin_and_back(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    outcome = await tunnel.probe().live()
    assert statuses(outcome) == {
        Layer.NAME: PASSED,
        Layer.TLS: SKIPPED,
        Layer.RELAY: PASSED,
        Layer.LINK: PASSED,
        Layer.GATEHOUSE: PASSED,
        Layer.ORIGIN: PASSED,
    }
    assert tunnel.origin.connections == 1
    assert tunnel.gatehouse.statistics().http_exchanges == 0
    assert outcome.began <= outcome.ended


@pytest.mark.parametrize("gates", [("bearer",), ("basic:alice",), ("link",)])
async def test_a_stranger_is_refused_and_the_origin_hears_nothing(
    open_tunnel: OpenTunnel, gates: tuple[str, ...]
) -> None:
    tunnel = await open_tunnel(*gates)
    outcome = await tunnel.probe().closed()
    assert statuses(outcome)[Layer.GATE] is PASSED
    assert tunnel.origin.connections == 0


async def test_an_ip_gate_is_proved_with_a_foreign_address_from_inside(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("ip:127.0.0.0/8")
    outcome = await tunnel.probe().closed()
    assert statuses(outcome)[Layer.GATE] is PASSED
    assert Layer.ORIGIN not in outcome.layers


async def test_an_ip_gate_that_leaves_no_stranger_is_no_gate(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("ip:127.0.0.0/8")
    tunnel.cidrs = ("0.0.0.0/0", "::/0")
    assert fault(await tunnel.probe().closed()) == (
        Layer.GATE,
        findings.GATE_ADMITS_EVERYBODY,
    )


async def test_an_ip_gate_that_lets_a_foreign_address_in_is_open(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("ip:127.0.0.0/8,192.0.2.0/24")
    tunnel.cidrs = ("127.0.0.0/8",)  # what the prober was told, and the guard does not keep
    assert fault(await tunnel.probe().closed()) == (Layer.GATE, findings.GATE_OPEN)


async def test_both_an_address_and_a_credential_are_proved(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("ip:127.0.0.0/8", "bearer")
    assert (await tunnel.probe().closed()).failed is None
    assert tunnel.edge.requests == 2


async def test_the_closed_paths_are_tried_in_turn_a_few_at_a_time(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    probe = tunnel.probe(closed_paths=tuple(f"/p{number}" for number in range(6)))
    judge, asked = tunnel.gatehouse._house.guard.judge_http, []

    def noting(head: Any, peer: Any) -> Any:
        asked.append(head.target)
        return judge(head, peer)

    tunnel.gatehouse._house.guard = Noting(tunnel.gatehouse._house.guard, noting)
    for _ in range(2):
        assert (await probe.closed()).failed is None
    assert asked == [b"/p0", b"/p1", b"/p2", b"/p3", b"/p4", b"/p5", b"/p0", b"/p1"]


async def test_one_path_that_lets_a_stranger_in_fails_the_gate(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    judge = tunnel.gatehouse._house.guard.judge_http

    def leaking(head: Any, peer: Any) -> Any:
        return Pass() if head.target == b"/b" else judge(head, peer)

    tunnel.gatehouse._house.guard = Noting(tunnel.gatehouse._house.guard, leaking)
    outcome = await tunnel.probe(closed_paths=("/a", "/b", "/c")).closed()
    assert fault(outcome) == (Layer.GATE, findings.GATE_OPEN)


async def test_a_leak_behind_one_of_many_paths_is_not_forgotten_while_others_are_tried(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    judge, leaks = tunnel.gatehouse._house.guard.judge_http, {b"/p1"}

    def leaking(head: Any, peer: Any) -> Any:
        return Pass() if head.target in leaks else judge(head, peer)

    tunnel.gatehouse._house.guard = Noting(tunnel.gatehouse._house.guard, leaking)
    probe = tunnel.probe(closed_paths=tuple(f"/p{number}" for number in range(9)))
    for _ in range(4):
        assert fault(await probe.closed()) == (Layer.GATE, findings.GATE_OPEN)
    leaks.clear()
    assert (await probe.closed()).failed is None


class Noting:
    """A guard whose judging somebody looks at."""

    def __init__(self, guard: Any, judge_http: Any) -> None:
        self.judge_http = judge_http
        self.answer_headers = guard.answer_headers


async def test_a_name_that_does_not_resolve_fails_the_name(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    outcome = await tunnel.probe(url="http://nowhere.invalid:80").live()
    assert outcome.failed is Layer.NAME
    assert set(outcome.layers) == {Layer.NAME}


async def test_a_name_below_localhost_is_loopback_without_any_resolver(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    outcome = await tunnel.probe(url=f"http://tools.localhost:{tunnel.edge.port}").live()
    assert outcome.failed is None


async def test_a_door_that_refuses_connections_fails_the_relay(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    await tunnel.edge.stop()
    outcome = await tunnel.probe().live()
    assert fault(outcome) == (Layer.RELAY, findings.CONNECTION_REFUSED)
    assert statuses(outcome)[Layer.NAME] is PASSED


@pytest.mark.parametrize(
    ("code", "layer"),
    [
        ("connector-away", Layer.LINK),
        ("lane-lost", Layer.LINK),
        ("no-such-tunnel", Layer.RELAY),
        ("relay-draining", Layer.RELAY),
        ("origin-away", Layer.ORIGIN),
    ],
)
async def test_an_answer_of_ours_fails_the_layer_it_speaks_of(
    open_tunnel: OpenTunnel, code: str, layer: Layer
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.edge.says = code
    assert fault(await tunnel.probe().live()) == (layer, code)


async def test_a_request_that_is_never_answered_fails_the_link(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.edge.is_silent = True
    assert fault(await tunnel.probe(seconds=0.2).live()) == (Layer.LINK, findings.NO_ANSWER)


@pytest.mark.parametrize(
    ("raw", "layer", "code"),
    [
        (b"", Layer.RELAY, findings.ANSWER_CUT),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Layer.RELAY, findings.ANSWER_MALFORMED),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            Layer.RELAY,
            findings.FOREIGN_ANSWER,
        ),
        (
            b"HTTP/1.1 200 OK\r\nUnderpass-Proof-Answer: v1.x\r\nContent-Length: 9\r\n\r\n{",
            Layer.LINK,
            findings.ANSWER_CUT,
        ),
        (
            b"HTTP/1.1 200 OK\r\nUnderpass-Proof-Answer: v1.x\r\nContent-Length: 2\r\n\r\n{}",
            Layer.GATEHOUSE,
            findings.PROOF_FORGED,
        ),
    ],
)
async def test_an_answer_that_is_no_proof_fails_the_layer_that_gave_it(
    open_tunnel: OpenTunnel, raw: bytes, layer: Layer, code: str
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.edge.raw = raw
    assert fault(await tunnel.probe().live()) == (layer, code)


async def test_a_changed_answer_fails_the_gatehouse(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")

    def claim_more(head: ResponseHead, body: bytes) -> tuple[ResponseHead, bytes]:
        return head, body.replace(b"failed", b"passed")

    tunnel.edge.mangle = claim_more
    await tunnel.origin.stop()
    assert fault(await tunnel.probe().live()) == (Layer.GATEHOUSE, findings.PROOF_FORGED)


async def test_the_gatehouse_of_another_instance_fails_the_gatehouse(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.instance = "two"
    assert fault(await tunnel.probe().live()) == (Layer.GATEHOUSE, findings.PROOF_FORGED)


async def test_a_gatehouse_with_another_key_does_not_take_the_proof(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.name = "other"
    assert fault(await tunnel.probe().live()) == (Layer.GATEHOUSE, findings.PROOF_NOT_TAKEN)


async def test_a_refusing_origin_fails_the_origin_alone(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    await tunnel.origin.stop()
    outcome = await tunnel.probe().live()
    assert fault(outcome) == (Layer.ORIGIN, "origin-away")
    assert statuses(outcome)[Layer.GATEHOUSE] is PASSED
    await tunnel.origin.start()
    assert (await tunnel.probe().live()).failed is None


async def test_a_gate_that_refuses_nobody_is_named(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel()
    tunnel.gates = ("bearer",)
    assert fault(await tunnel.probe().closed()) == (Layer.GATE, findings.GATE_OPEN)


async def test_an_open_gate_before_a_dead_origin_is_still_an_open_gate(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel()
    tunnel.gates = ("bearer",)
    await tunnel.origin.stop()
    assert fault(await tunnel.probe().closed()) == (Layer.GATE, findings.GATE_OPEN)


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_an_origin_that_refuses_strangers_itself_is_no_gate_of_ours(
    open_tunnel: OpenTunnel, status: bytes
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    tunnel = await open_tunnel(handler=refuse)
    tunnel.gates = ("bearer",)
    assert fault(await tunnel.probe().closed()) == (Layer.GATE, findings.GATE_OPEN)


async def test_a_closed_check_that_meets_a_broken_layer_says_nothing_of_the_gate(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.edge.says = "connector-away"
    outcome = await tunnel.probe().closed()
    assert fault(outcome) == (Layer.LINK, "connector-away")
    assert Layer.GATE not in outcome.layers


async def test_a_door_that_answers_strangers_with_a_foreign_error_is_blamed(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.edge.raw = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    assert fault(await tunnel.probe().closed()) == (Layer.RELAY, findings.FOREIGN_ANSWER)


OFFLINE = b"HTTP/1.1 404 Not Found\r\nVendor: 7\r\nContent-Length: 4\r\n\r\ngone"


def read_offline(status: int, fields: Mapping[str, str], body: str) -> str:
    """As an engine does whose vendor says so where nothing is online."""
    is_theirs = (status, fields.get("vendor"), body) == (404, "7", "gone")
    return "nothing is online there" if is_theirs else ""


async def test_a_page_of_the_vendor_s_own_is_explained_and_is_no_open_gate(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("bearer")
    tunnel.edge.raw = OFFLINE
    probe = tunnel.probe(read_page=read_offline)
    for outcome in (await probe.live(), await probe.closed()):
        assert fault(outcome) == (Layer.RELAY, findings.FOREIGN_ANSWER)
        assert "status 404: nothing is online there" in outcome.layers[Layer.RELAY].detail
    # Nobody knows the page of a stranger: then it may be the origin's, past an open gate.
    assert fault(await tunnel.probe().closed()) == (Layer.GATE, findings.GATE_OPEN)
    # Nor is an answer that is no failure ever the vendor's word for one.
    tunnel.edge.raw = OFFLINE.replace(b"404 Not Found", b"200 OK")
    claims = tunnel.probe(read_page=lambda status, fields, body: "it is the vendor's")
    assert fault(await claims.closed()) == (Layer.GATE, findings.GATE_OPEN)


async def test_an_endless_answer_to_a_stranger_is_not_read_to_its_end(
    open_tunnel: OpenTunnel,
) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4\r\ndata\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    tunnel = await open_tunnel(handler=pour)
    tunnel.gates = ("bearer",)
    assert fault(await tunnel.probe().closed()) == (Layer.GATE, findings.GATE_OPEN)


async def test_a_relay_that_turns_the_prober_away_by_address_is_named(
    open_tunnel: OpenTunnel,
) -> None:
    tunnel = await open_tunnel("ip:127.0.0.0/8")
    tunnel.edge.says = "gate-refused"
    assert fault(await tunnel.probe().live()) == (Layer.RELAY, findings.NOT_ADMITTED)


async def test_a_lookup_that_takes_too_long_fails_the_name(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    outcome = await tunnel.probe(url="http://nowhere.invalid:80", seconds=0.0).live()
    assert fault(outcome) == (Layer.NAME, findings.NAME_LOOKUP_FAILED)


async def test_a_name_that_no_resolver_takes_is_not_found(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    outcome = await tunnel.probe(url=f"http://{'a' * 64}.example:80").live()
    assert fault(outcome) == (Layer.NAME, findings.NAME_NOT_FOUND)


async def test_an_address_that_cannot_be_dialled_fails_the_relay(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel("bearer")
    outcome = await tunnel.probe(url="http://255.255.255.255:80").live()
    assert fault(outcome) == (Layer.RELAY, findings.RELAY_UNREACHABLE)


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def served(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context


def trusting(authority: trustme.CA, tmp_path: Path) -> Trust:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return Trust(ca=path)


async def test_a_certificate_of_the_named_authority_passes(
    open_tunnel: OpenTunnel, authority: trustme.CA, tmp_path: Path
) -> None:
    tunnel = await open_tunnel("bearer", tls=served(authority.issue_cert("127.0.0.1")))
    outcome = await tunnel.probe(trust=trusting(authority, tmp_path)).live()
    assert outcome.failed is None
    assert statuses(outcome)[Layer.TLS] is PASSED


async def test_a_certificate_of_an_unknown_authority_fails_tls(
    open_tunnel: OpenTunnel, authority: trustme.CA
) -> None:
    tunnel = await open_tunnel("bearer", tls=served(authority.issue_cert("127.0.0.1")))
    outcome = await tunnel.probe().live()
    assert fault(outcome) == (Layer.TLS, findings.CERTIFICATE_UNTRUSTED)
    assert Layer.RELAY not in outcome.layers


@pytest.mark.parametrize("names", [("127.0.0.2",), ("elsewhere.example",)])
async def test_a_certificate_for_another_name_fails_tls(
    open_tunnel: OpenTunnel, authority: trustme.CA, tmp_path: Path, names: tuple[str, ...]
) -> None:
    tunnel = await open_tunnel("bearer", tls=served(authority.issue_cert(*names)))
    outcome = await tunnel.probe(trust=trusting(authority, tmp_path)).live()
    assert fault(outcome) == (Layer.TLS, findings.CERTIFICATE_FOR_ANOTHER_NAME)


async def test_an_expired_certificate_fails_tls(
    open_tunnel: OpenTunnel, authority: trustme.CA, tmp_path: Path
) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    issued = authority.issue_cert("127.0.0.1", not_before=past, not_after=past)
    tunnel = await open_tunnel("bearer", tls=served(issued))
    outcome = await tunnel.probe(trust=trusting(authority, tmp_path)).live()
    assert fault(outcome) == (Layer.TLS, findings.CERTIFICATE_EXPIRED)


async def test_a_certificate_of_the_future_names_the_clock(
    open_tunnel: OpenTunnel, authority: trustme.CA, tmp_path: Path
) -> None:
    future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    issued = authority.issue_cert(
        "127.0.0.1", not_before=future, not_after=future + datetime.timedelta(days=1)
    )
    tunnel = await open_tunnel("bearer", tls=served(issued))
    outcome = await tunnel.probe(trust=trusting(authority, tmp_path)).live()
    assert fault(outcome) == (Layer.TLS, findings.CERTIFICATE_NOT_YET_VALID)
    assert "clock" in outcome.layers[Layer.TLS].detail


async def test_a_pinned_certificate_passes_whoever_signed_it_and_no_other_does(
    open_tunnel: OpenTunnel, authority: trustme.CA
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    leaf = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    tunnel = await open_tunnel("bearer", tls=served(issued))
    pinned = Trust(fingerprint=hashlib.sha256(leaf).digest())
    assert (await tunnel.probe(trust=pinned).live()).failed is None
    outcome = await tunnel.probe(trust=Trust(fingerprint=bytes(32))).live()
    assert fault(outcome) == (Layer.TLS, findings.CERTIFICATE_NOT_PINNED)


async def test_a_door_that_speaks_no_tls_fails_tls(open_tunnel: OpenTunnel) -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    tunnel = await open_tunnel("bearer", handler=speak_plainly)
    outcome = await tunnel.probe(url=f"https://127.0.0.1:{tunnel.origin.port}").live()
    assert fault(outcome) == (Layer.TLS, findings.TLS_FAILED)


async def test_a_door_that_accepts_and_then_says_nothing_fails_the_relay(
    open_tunnel: OpenTunnel,
) -> None:
    async def sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    tunnel = await open_tunnel("bearer", handler=sleep)
    outcome = await tunnel.probe(url=f"https://127.0.0.1:{tunnel.origin.port}", seconds=0.3).live()
    assert fault(outcome) == (Layer.RELAY, findings.CONNECTION_TIMED_OUT)


# Proxies


async def serve_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP proxy that leads wherever it is asked to, except to port 1."""
    line = (await reader.readuntil(b"\r\n\r\n")).split(b" ")
    host, _, port = line[1].decode().rpartition(":")
    if port == "1":
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await writer.drain()
        return
    onward, back = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            sink.write(data)
        sink.transport.abort()

    await asyncio.gather(pass_on(reader, back), pass_on(onward, writer))


async def test_a_probe_comes_through_the_proxy_that_the_owner_must_use(
    open_tunnel: OpenTunnel, authority: trustme.CA, tmp_path: Path
) -> None:
    tunnel = await open_tunnel("bearer", tls=served(authority.issue_cert("127.0.0.1")))
    proxied = await open_tunnel(handler=serve_proxy)
    proxy = ("127.0.0.1", proxied.origin.port)
    trust = trusting(authority, tmp_path)
    outcome = await tunnel.probe(trust=trust, proxy=proxy).live()
    assert outcome.failed is None
    assert statuses(outcome)[Layer.NAME] is SKIPPED
    assert proxied.origin.connections == 1
    refused = await tunnel.probe(url="https://127.0.0.1:1", trust=trust, proxy=proxy).live()
    assert fault(refused) == (Layer.RELAY, findings.PROXY_REFUSED)


def test_the_key_of_an_identity_is_never_shown() -> None:
    assert "key" not in repr(Identity("tools", "one", b"k" * 32))
