"""A proof is answered by the gatehouse, after it has reached the origin, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.gatehouse.conftest import KEY, RecordingVisitor, answering, raw_origin, request

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.proof import ANSWER_HEADER, ProofAnswer, check_answer, make_request
from underpass.guard.gates import BearerGate, Guard, IpGate
from underpass.guard.secrets import hash_token

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000, secure=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NONCE = b"n" * 16
BEARER = Guard([BearerGate(hash_token("up_right"))])


def clock() -> float:
    return 1_800_000_000.0


def question(foreign: str = "", *, nonce: bytes = NONCE, key: bytes = KEY):
    value = make_request(key, "tools", nonce=nonce, now=clock(), foreign=foreign)
    return request(target=b"/any/path", headers=[(b"Underpass-Proof", value)])


async def prove(gatehouse: Gatehouse, foreign: str = "", *, nonce: bytes = NONCE) -> ProofAnswer:
    visitor = RecordingVisitor()
    gatehouse.open_http(visitor, question(foreign, nonce=nonce), PEER)
    status, body = await visitor.answer()
    assert status == 200
    answer = check_answer(KEY, nonce, "tools", "i1", visitor.field(ANSWER_HEADER), body)
    assert answer is not None
    return answer


async def test_proof_passes_gates_reaches_the_origin_and_is_not_forwarded(make_gatehouse: Make):
    records: list[object] = []
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(
            origin.text, guard=BEARER, wall_clock=clock, on_exchange=records.append
        )
        for nonce in (NONCE, b"m" * 16):
            answer = await prove(gatehouse, nonce=nonce)
            assert {name: layer.status for name, layer in answer.layers.items()} == {
                "gatehouse": "passed",
                "origin": "passed",
            }
        numbers = gatehouse.statistics()
        assert (numbers.proofs, numbers.http_exchanges, numbers.idle) == (2, 0, 1)
        # The first proof saw that the origin wants no TLS; the connection that the second made
        # serves the next visitor.
        visitor = RecordingVisitor()
        head = request(headers=[(b"Underpass-Token", b"up_right")])
        gatehouse.open_http(visitor, head, PEER)
        assert await visitor.answer() == (200, b"ok")
        assert origin.accepted == 2
    assert len(records) == 1


async def test_proof_names_the_origin_when_it_refuses(make_gatehouse: Make):
    async with raw_origin(answering()) as origin:
        pass
    answer = await prove(make_gatehouse(origin.text, wall_clock=clock))
    assert answer.layers["origin"].status == "failed"
    assert answer.layers["origin"].code == "origin-away"


async def test_used_or_forged_proof_is_an_ordinary_request(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text, guard=BEARER, wall_clock=clock)
        await prove(gatehouse)
        for head in (question(), question(nonce=b"m" * 16, key=bytes(32))):
            visitor = RecordingVisitor()
            gatehouse.open_http(visitor, head, PEER)
            assert (await visitor.answer())[0] == 401


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        (Guard([IpGate(["203.0.113.0/24"])]), "passed"),
        (Guard([IpGate(["0.0.0.0/0"])]), "failed"),
        (BEARER, "skipped"),
        (Guard((), public=True), "open"),
    ],
)
async def test_foreign_address_is_judged(make_gatehouse: Make, guard: Guard, expected: str):
    async with raw_origin(answering()) as origin:
        gatehouse = make_gatehouse(origin.text, guard=guard, wall_clock=clock)
        answer = await prove(gatehouse, "198.51.100.7")
        assert answer.layers["gate"].status == expected


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (b"200 OK", "passed", ""),
        (b"302 Found", "passed", ""),
        (b"500 Oh", "failed", "origin-unhealthy"),
        (b"404 No", "failed", "origin-unhealthy"),
    ],
)
async def test_health_path_is_asked_and_decides(
    make_gatehouse: Make, status: bytes, expected: str, code: str
):
    targets: list[bytes] = []

    async def health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        targets.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
        writer.write(b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"2\r\nok\r\n0\r\n\r\n")
        await reader.read()

    async with raw_origin(health) as origin:
        gatehouse = make_gatehouse(origin.text, wall_clock=clock, health_path="/healthz")
        found = (await prove(gatehouse)).layers["origin"]
        assert (found.status, found.code, targets) == (expected, code, [b"/healthz"])


async def test_health_path_that_dies_fails_the_origin(make_gatehouse: Make):
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with raw_origin(die) as origin:
        gatehouse = make_gatehouse(origin.text, wall_clock=clock, health_path="/healthz")
        found = (await prove(gatehouse)).layers["origin"]
        assert (found.status, found.code) == ("failed", "origin-away")


async def test_prover_that_gives_up_leaves_nothing_behind(make_gatehouse: Make):
    async with raw_origin(answering()) as origin:
        gatehouse = make_gatehouse(origin.text, wall_clock=clock, health_path="/healthz")
        visitor = RecordingVisitor()
        exchange = gatehouse.open_http(visitor, question(), PEER)
        await origin.until(lambda origin: origin.accepted)
        exchange.visitor_left("visitor-left")
        await origin.until(lambda origin: origin.closed)
        assert gatehouse.statistics().open_http == 0


async def test_origin_can_be_checked_directly(make_gatehouse: Make):
    async with raw_origin(answering()) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}")
        assert (await gatehouse.check_origin()).status == "passed"
        await origin.until(lambda origin: origin.closed)
    found = await gatehouse.check_origin()
    assert (found.status, found.code) == ("failed", "origin-away")
