"""Frames are read as a WebSocket library writes them."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from underpass.observe.frames import read_frames

pytestmark = pytest.mark.pure


def client() -> ClientProtocol:
    protocol = ClientProtocol(parse_uri("ws://example.test/"))
    protocol.state = State.OPEN
    return protocol


def test_masked_frames_of_a_client_are_read() -> None:
    protocol = client()
    protocol.send_text(b"hello")
    protocol.send_binary(b"\x00" * 70_000)
    protocol.send_ping(b"secret of mine")
    protocol.send_close(1001, "bye")
    frames = read_frames(b"".join(protocol.data_to_send()))
    assert [(f.kind, f.size, f.final) for f in frames] == [
        ("text", 5, True),
        ("binary", 70_000, True),
        ("ping", 14, True),
        ("close", 5, True),
    ]
    assert frames[0].payload == b"hello"
    assert frames[1].payload == b"\x00" * 70_000
    assert frames[2].payload == b""
    assert frames[3].payload == (1001).to_bytes(2, "big")


def test_fragments_belong_to_one_message_around_control_frames() -> None:
    protocol = client()
    protocol.send_text(b"one ", fin=False)
    protocol.send_ping(b"")
    protocol.send_continuation(b"two", fin=True)
    protocol.send_text(b"next")
    frames = read_frames(b"".join(protocol.data_to_send()))
    assert [(f.kind, f.final, f.message) for f in frames] == [
        ("text", False, 0),
        ("ping", True, -1),
        ("continuation", True, 0),
        ("text", True, 1),
    ]


def test_a_compressed_message_is_opaque_with_all_its_fragments() -> None:
    first = bytearray(Frame(Opcode.TEXT, b"zzz", fin=False).serialize(mask=False))
    first[0] |= 0x40  # RSV1, as permessage-deflate sets it
    ping = Frame(Opcode.PING, b"").serialize(mask=False)
    rest = Frame(Opcode.CONT, b"zz").serialize(mask=False)
    plain = Frame(Opcode.TEXT, b"plain").serialize(mask=False)
    frames = read_frames(bytes(first) + ping + rest + plain)
    assert [(f.opaque, f.payload) for f in frames] == [
        (True, b""),
        (False, b""),
        (True, b""),
        (False, b"plain"),
    ]


def test_every_cut_gives_the_frames_before_it() -> None:
    whole = Frame(Opcode.TEXT, b"a" * 200).serialize(mask=True)
    whole += Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True)
    for length in range(len(whole)):
        for frame in read_frames(whole[:length]):
            assert frame.end <= length
            assert frame.cut == (frame.kind == "text" and len(frame.payload) < 200)
