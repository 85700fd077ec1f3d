"""The alphabet of the wire, byte for byte as the specification has it."""

from __future__ import annotations

import struct

import pytest

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import (
    FIRST_CREDIT,
    LANE_LIMIT,
    LANE_RESERVE,
    RECEIVE_BUDGET,
    REPLAY_BUDGET,
    SMALL_CREDIT,
    WINDOW_LIMIT,
    ReceiveBudget,
    ReplayBudget,
)

pytestmark = pytest.mark.pure

EXAMPLES = {
    "42 000008 00000000 0102030405060708": frames.frame(
        frames.PING, 0, bytes((1, 2, 3, 4, 5, 6, 7, 8))
    ),
    "44 000008 00000000 000000000000012c": frames.ack_frame(300),
    "82 000002 00000007 6869": frames.frame(frames.DATA | frames.END, 7, b"hi"),
    "06 000004 00000007 00004000": frames.credit_frame(7, 16_384),
    "07 000005 00000007 01 676f6e65": frames.reset_frame(7, frames.ABORT, "gone"),
    "07 000005 00000007 02 676f6e65": frames.reset_frame(7, frames.STOP, "gone"),
    "0a 000000 ffffffff": frames.frame(frames.FIN, 2**32 - 1),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_example_of_the_specification(text: str) -> None:
    assert EXAMPLES[text] == bytes.fromhex(text)


TABLE = {
    "OPEN": (1, 84 * 1024),
    "HEAD": (3, 64 * 1024),
    "TRAILERS": (4, 64 * 1024),
    "FULL": (5, 16 * 1024 + 4),
    "CREDIT": (6, 4),
    "RESET": (7, 65),
    "LIMIT": (8, 4),
    "LEASE": (9, 256),
    "FIN": (10, 0),
    "GREETING": (0x41, 16 * 1024),
    "PING": (0x42, 8),
    "PONG": (0x43, 8),
    "ACK": (0x44, 8),
    "DRAIN": (0x45, 256),
}


@pytest.mark.parametrize("name", TABLE)
def test_number_and_limit_of_the_specification(name: str) -> None:
    kind = getattr(frames, name)
    assert (kind, frames.CONTROL_LIMITS[kind]) == TABLE[name]


def test_data_is_type_2_of_at_most_a_quarter_mebibyte() -> None:
    assert (frames.DATA, frames.ALONE, frames.QUANTUM) == (2, 256 * 1024, 16 * 1024)
    assert set(frames.CONTROL_LIMITS) == {kind for kind, _ in TABLE.values()}


@pytest.mark.parametrize("length", [0, 1, 255, 65_536, 2**24 - 1])
def test_header_is_two_big_endian_words(length: int) -> None:
    data = frames.header(frames.DATA | frames.END, 9, length)
    assert data == bytes((0x82,)) + length.to_bytes(3, "big") + struct.pack("!I", 9)


def test_words_that_begin_a_connection() -> None:
    assert (frames.LINK_MAGIC, frames.REACH_MAGIC) == (b"UPLINK1\n", b"UREACH1\n")
    assert len(frames.LINK_MAGIC) == len(frames.REACH_MAGIC) == 8
    assert (frames.ALPN_LINK, frames.ALPN_REACH) == ("underpass/1", "underpass-reach/1")


@pytest.mark.parametrize("code", ["x", "over-limit", "a" * 64, "h2-0"])
def test_reset_reads_as_it_was_written(code: str) -> None:
    for direction in (frames.ABORT, frames.STOP):
        payload = frames.reset_frame(1, direction, code)[frames.HEADER_SIZE :]
        assert frames.read_reset(payload) == (direction, code)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\1", b"\0x", b"\3x", b"\1X", b"\1x y", b"\1x\n", b"\1\xff", b"\1" + b"a" * 65],
    ids=repr,
)
def test_reset_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="RESET"):
        frames.read_reset(payload)


def test_long_code_is_cut_to_what_a_reset_holds() -> None:
    payload = frames.reset_frame(1, frames.ABORT, "a" * 100)[frames.HEADER_SIZE :]
    assert frames.read_reset(payload) == (frames.ABORT, "a" * 64)


# -- budgets ----------------------------------------------------------------------------------


def test_budgets_of_the_specification() -> None:
    mebibyte = 1024 * 1024
    assert (64 * mebibyte, 256 * mebibyte) == (RECEIVE_BUDGET, REPLAY_BUDGET)
    assert (65_536, 16 * mebibyte, 4 * mebibyte) == (LANE_RESERVE, LANE_LIMIT, WINDOW_LIMIT)
    assert (FIRST_CREDIT, SMALL_CREDIT) == (65_536, 4_096)


@pytest.mark.parametrize(
    ("used", "credit"),
    [
        (0, FIRST_CREDIT),
        (499_999, FIRST_CREDIT),
        (500_000, SMALL_CREDIT),
        (1_000_000 - SMALL_CREDIT, SMALL_CREDIT),
        (1_000_001 - SMALL_CREDIT, 0),
        (1_000_000, 0),
    ],
)
def test_first_credit_follows_what_is_given(used: int, credit: int) -> None:
    budget = ReceiveBudget(1_000_000)
    budget.used = used
    assert budget.first_credit == credit
    assert budget.generous is (credit == FIRST_CREDIT)


def test_account_is_bounded_by_its_quarter_and_by_the_whole() -> None:
    budget = ReplayBudget(1_000)
    accounts = [budget.account() for _ in range(5)]
    assert accounts[0].free == 250
    for account in accounts[:4]:
        account.charge(250)
    assert accounts[0].free == 0
    assert accounts[4].free == 0
    accounts[1].charge(-100)
    assert (accounts[1].free, accounts[4].free, budget.used) == (100, 100, 900)
