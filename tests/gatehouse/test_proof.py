"""A proof is true for one name, one nonce, thirty seconds and one use."""

from __future__ import annotations

import pytest

from underpass.gatehouse import proof
from underpass.gatehouse.proof import LayerAnswer, ProofAnswer, ProofChecker

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
NONCE = b"n" * 16
NOW = 1_800_000_000.5


def ask(**changes: object) -> bytes:
    given = {"key": KEY, "name": "tools", "nonce": NONCE, "now": NOW} | changes
    key, name = given.pop("key"), given.pop("name")
    return proof.make_request(key, name, **given)  # type: ignore[arg-type]


def test_question_is_accepted_once():
    checker = ProofChecker(KEY, "tools")
    question = checker.accept(ask(), NOW)
    assert question is not None
    assert (question.nonce, question.foreign) == (NONCE, "")
    assert checker.accept(ask(), NOW + 1) is None


def test_question_names_the_foreign_address_under_the_mac():
    checker = ProofChecker(KEY, "tools")
    value = ask(foreign="203.0.113.9")
    assert checker.accept(value.replace(b"113.9", b"113.8"), NOW) is None
    assert checker.accept(value.partition(b".deny")[0], NOW) is None
    question = checker.accept(value, NOW)
    assert question is not None
    assert question.foreign == "203.0.113.9"


@pytest.mark.parametrize("late", [-31.0, 31.5])
def test_question_is_void_outside_thirty_seconds(late: float):
    assert ProofChecker(KEY, "tools").accept(ask(), NOW + late) is None


def test_question_cannot_be_replayed_by_stepping_the_clock_back():
    checker = ProofChecker(KEY, "tools")
    assert checker.accept(ask(now=NOW + 29), NOW) is not None
    for step in range(120):
        assert checker.accept(ask(now=NOW + 29), NOW + step) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"v1.",
        b"v2." + b"A" * 75,
        b"v1." + b"A" * 75,
        b"v1.!!!!",
        b"v1." + b"A" * 300,
        b"v1.\xff\xfe",
    ],
)
def test_noise_is_an_ordinary_header(value: bytes):
    assert ProofChecker(KEY, "tools").accept(value, NOW) is None


def test_question_for_another_name_or_key_is_ordinary():
    assert ProofChecker(KEY, "tools").accept(ask(name="tool"), NOW) is None
    assert ProofChecker(KEY, "tools").accept(ask(key=OTHER_KEY), NOW) is None


def test_every_changed_byte_voids_the_question():
    value = ask(foreign="203.0.113.9")
    for index in range(len(value)):
        changed = bytearray(value)
        changed[index] ^= 1
        assert ProofChecker(KEY, "tools").accept(bytes(changed), NOW) is None, index


def test_memory_of_nonces_is_bounded_and_closed_when_full():
    checker = ProofChecker(KEY, "tools")
    for number in range(proof.MAX_NONCES):
        assert checker.accept(ask(nonce=number.to_bytes(16, "big")), NOW) is not None
    assert checker.accept(ask(), NOW) is None
    later = NOW + 61
    assert checker.accept(ask(now=later), later) is not None


def test_checker_never_shows_its_key():
    assert repr(ProofChecker(KEY, "tools")) == "ProofChecker(name='tools')"
    with pytest.raises(ValueError, match="32 bytes"):
        ProofChecker(b"short", "tools")


ANSWER = ProofAnswer(
    name="tools",
    instance="i1",
    layers={
        "gatehouse": LayerAnswer("passed"),
        "origin": LayerAnswer("failed", code="origin-away", ms=1.5),
    },
)


def test_answer_is_believed_from_the_gatehouse_alone():
    body, value = proof.make_answer(KEY, NONCE, ANSWER)
    assert proof.check_answer(KEY, NONCE, "tools", "i1", value, body) == ANSWER
    assert proof.check_answer(OTHER_KEY, NONCE, "tools", "i1", value, body) is None
    assert proof.check_answer(KEY, b"m" * 16, "tools", "i1", value, body) is None
    assert proof.check_answer(KEY, NONCE, "other", "i1", value, body) is None
    assert proof.check_answer(KEY, NONCE, "tools", "i2", value, body) is None
    assert proof.check_answer(KEY, NONCE, "tools", "i1", None, body) is None
    forged = body.replace(b"failed", b"passed")
    assert proof.check_answer(KEY, NONCE, "tools", "i1", value, forged) is None


def test_question_does_not_pass_for_an_answer():
    mac = ask()[3:]
    assert proof.check_answer(KEY, NONCE, "tools", "i1", b"v1." + mac, b"") is None


@pytest.mark.parametrize("gate", ["passed", "failed", "open", "skipped"])
def test_tcp_answer_carries_the_gate(gate: str):
    prefix = b"p" * 32
    data = proof.make_tcp_answer(KEY, prefix, "db", "i1", gate)
    assert proof.check_tcp_answer(KEY, prefix, "db", "i1", data) == gate
    assert proof.check_tcp_answer(KEY, b"q" * 32, "db", "i1", data) is None
    assert proof.check_tcp_answer(KEY, prefix, "db", "i2", data) is None
    assert proof.check_tcp_answer(OTHER_KEY, prefix, "db", "i1", data) is None
    assert proof.check_tcp_answer(KEY, prefix, "db", "i1", b"o" + data[1:-1] + b"?") is None
    assert proof.check_tcp_answer(KEY, prefix, "db", "i1", data[:-1]) is None
