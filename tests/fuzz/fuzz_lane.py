"""Fuzz target: hostile bytes against the decoder and both ends of a lane.

``fuzz(data)`` is the entry. The first byte chooses the end under attack and how the rest is cut.
By hand, for a number of seconds, starting from the corpus (what raises is kept beside it)::

    python tests/fuzz/fuzz_lane.py 60

or, where atheris is installed: ``atheris.Setup(sys.argv, fuzz_lane.fuzz); atheris.Fuzz()``.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from pathlib import Path

from underpass.relay.protocol.budget import FIRST_CREDIT, ReceiveBudget, ReplayBudget
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.events import DataReceived
from underpass.relay.protocol.greeting import GreetingReader
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.parser import FrameParser
from underpass.relay.protocol.reach import ReachChannel

CORPUS = Path(__file__).parent / "corpus"
BUDGET = 8 * FIRST_CREDIT
PIECES = (1, 3, 7, 8, 9, 64, 1_000, 1_000_000)


def fuzz(data: bytes) -> None:
    """Whatever the bytes are: a ``ProtocolViolation`` or no harm, and memory within bounds."""
    if not data:
        return
    choice, rest = data[0], data[1:]
    pieces = cut(rest, PIECES[choice & 7])
    attack_parser(pieces, rest)
    attack_lane(pieces, opener=bool(choice & 8), careless=bool(choice & 16))
    attack_greeting(pieces)
    attack_reach(pieces)


def cut(data: bytes, size: int) -> list[bytes]:
    """``data`` in pieces of ``size``."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def attack_parser(pieces: list[bytes], whole: bytes) -> None:
    """However the bytes are cut, the parser comes to the same end."""
    assert parsed(pieces) == parsed([whole])


def parsed(pieces: list[bytes]) -> tuple[int, bool] | str:
    parser = FrameParser()
    try:
        for piece in pieces:
            parser.receive_data(piece)
    except ProtocolViolation as error:
        return error.reason
    return parser.received, parser.between_frames


def attack_lane(pieces: list[bytes], *, opener: bool, careless: bool) -> None:
    """One end with three streams of its own, attacked by its peer."""
    budget = ReceiveBudget(BUDGET)
    account = ReplayBudget().account()
    lane = Lane(
        b"L" * 16, opener=opener, budget=budget, account=account, wake=lambda: None, now=0.0
    )
    lane.attach(generation=1, peer_received=0, peer_credit=FIRST_CREDIT, now=0.0)
    if opener:
        lane.open("tcp").send_data(b"hello")
        lane.open("http", head=b"GET", end=True)
        lane.open("tcp").stop("enough")
        lane.data_to_send(0.0)
    now = 0.0
    try:
        for piece in pieces:
            now += 0.1
            if not lane.attached:
                lane.attach(generation=2, peer_received=0, peer_credit=FIRST_CREDIT, now=now)
            lane.receive_data(piece, now)
            answer(lane, careless=careless)
            lane.tick(now)
            lane.data_to_send(now)
            assert 0 <= budget.used <= BUDGET
            assert account.used >= 0
            assert lane.buffered < 4 * BUDGET
    except ProtocolViolation:
        pass
    answer(lane, careless=True)
    lane.close("protocol-violation")
    for event in lane.events():
        event.stream.stop("lane-lost")  # type: ignore[union-attr]
    assert lane.streams == {}
    assert lane.buffered == 0
    assert account.used == 0


def answer(lane: Lane, *, careless: bool) -> None:
    """An owner that drains and echoes, or one that never drains."""
    for event in lane.events():
        if isinstance(event, DataReceived):
            if not careless:
                event.stream.drained(len(event.data))
            if event.stream.room >= len(event.data):
                event.stream.send_data(bytes(event.data))


def attack_greeting(pieces: list[bytes]) -> None:
    """The first bytes of a link."""
    reader = GreetingReader()
    try:
        for piece in pieces:
            reader.receive_data(piece)
            while reader.next_record() is not None:
                pass
    except ProtocolViolation:
        pass


def attack_reach(pieces: list[bytes]) -> None:
    """A reach connection."""
    channel = ReachChannel()
    try:
        for piece in pieces:
            channel.receive_data(piece)
    except ProtocolViolation:
        pass


def mutate(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A neighbour of ``data``."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(changed):
                changed[at] = chance.randrange(256)
            case 2:
                del changed[at : at + chance.randrange(1, 20)]
            case 3:
                changed[at:at] = chance.randbytes(chance.randrange(1, 12))
            case 4:
                other = chance.choice(others)
                start = chance.randrange(len(other))
                changed[at:at] = other[start : start + chance.randrange(1, 200)]
            case _:
                changed += changed[at : at + chance.randrange(1, 60)]
    return bytes(changed)


def main(seconds: float, seed: int) -> int:
    """Mutate the corpus for a while; how many inputs failed."""
    chance = random.Random(seed)
    inputs = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    until = time.monotonic() + seconds
    tried = failed = 0
    while time.monotonic() < until:
        data = mutate(chance.choice(inputs), inputs, chance)
        tried += 1
        try:
            fuzz(data)
        except Exception as error:
            failed += 1
            name = CORPUS / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
            name.write_bytes(data)
            sys.stderr.write(f"{name.name}: {error!r}\n")
    sys.stderr.write(f"{tried} inputs, {failed} failed\n")
    return failed


if __name__ == "__main__":
    arguments = [float(text) for text in sys.argv[1:]]
    sys.exit(main(arguments[0] if arguments else 10.0, int(time.time())) > 0)
