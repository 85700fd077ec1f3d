"""The ClientHello parser, against real ones and hostile ones."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from underpass.relay.edges.client_hello import ClientHello, ClientHelloRefused, parse_client_hello

pytestmark = pytest.mark.pure


def real_hello(name: str | None = "demo.relay.test", *protocols: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


HELLO = real_hello("demo.relay.test", "underpass/1", "http/1.1")


def record(message: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 1]) + len(message).to_bytes(2, "big") + message


def message(body: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def body(*extensions: tuple[int, bytes]) -> bytes:
    packed = b"".join(
        kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for kind, data in extensions
    )
    start = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    return start + len(packed).to_bytes(2, "big") + packed


def sni(*names: bytes, kind: int = 0) -> bytes:
    entries = b"".join(bytes([kind]) + len(name).to_bytes(2, "big") + name for name in names)
    return len(entries).to_bytes(2, "big") + entries


def alpn(*names: bytes) -> bytes:
    entries = b"".join(bytes([len(name)]) + name for name in names)
    return len(entries).to_bytes(2, "big") + entries


def test_the_two_facts_are_read_from_a_real_hello() -> None:
    assert parse_client_hello(HELLO) == ClientHello(
        "demo.relay.test", (b"underpass/1", b"http/1.1")
    )
    assert parse_client_hello(real_hello(None)) == ClientHello("", ())


def test_names_are_lower_cased() -> None:
    raw = record(message(body((0, sni(b"Demo.RELAY.test")))))
    assert parse_client_hello(raw) == ClientHello("demo.relay.test", ())


def test_every_prefix_says_that_more_is_needed() -> None:
    for size in range(len(HELLO)):
        needed = parse_client_hello(HELLO[:size])
        assert isinstance(needed, int)
        assert size < needed <= len(HELLO)


@given(st.lists(st.integers(1, 400), max_size=20))
def test_a_message_may_span_several_records(cuts: list[int]) -> None:
    whole = HELLO[5:]
    records, at = b"", 0
    for cut in cuts:
        if at + cut >= len(whole):
            break
        records += record(whole[at : at + cut])
        at += cut
    found = parse_client_hello(records + record(whole[at:]))
    assert found == parse_client_hello(HELLO)


def test_a_hello_without_extensions_names_nothing() -> None:
    assert parse_client_hello(record(message(body()[:-2]))) == ClientHello("", ())


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x02\x00",
        b"\x16\x03\x09",
        record(b""),
        b"\x16\x03\x01\x40\x01",
        record(message(body(), kind=2)),
        record(message(body()) + b"more"),
        record(message(body()), kind=23),
        record(message(b"\x02\x00" + body()[2:])),
        record(message(body() + b"\0")),
        record(message(body((0, sni(b"a")), (0, sni(b"b"))))),
        record(message(body((0, sni(b"a", b"b"))))),
        record(message(body((0, sni(b"a", kind=1))))),
        record(message(body((0, sni(b""))))),
        record(message(body((0, sni(b"a\0b"))))),
        record(message(body((0, sni(b"a..b"))))),
        record(message(body((0, sni(b"a."))))),
        record(message(body((0, sni(b"-" * 64))))),
        record(message(body((0, sni("ü.test".encode()))))),
        record(message(body((0, sni(b"a") + b"x")))),
        record(message(body((16, alpn())))),
        record(message(body((16, alpn(b""))))),
        record(message(body((16, alpn(b"a") + b"x")))),
        record(message(body((16, b"\0\x09\x08short")))),
        record(message(body())[:1] + b"\xff\xff\xff"),
    ],
)
def test_what_is_not_exactly_a_hello_is_refused(raw: bytes) -> None:
    with pytest.raises(ClientHelloRefused) as caught:
        parse_client_hello(raw)
    assert caught.value.message.startswith("cannot tell")


def test_a_hello_of_more_than_16_kib_is_refused_before_it_is_there() -> None:
    large = message(body((21, bytes(17_000))))
    first = record(large[:16_000])
    with pytest.raises(ClientHelloRefused, match="too large"):
        parse_client_hello(first[:9])
    fits = record(message(body((21, bytes(16_000)))))
    assert parse_client_hello(fits) == ClientHello("", ())


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_no_bytes_do_anything_but_parse_wait_or_fail(raw: bytes) -> None:
    for data in (
        raw,
        b"\x16\x03\x01" + raw,
        record(message(raw)),
        record(message(body()[:-2] + raw)),
    ):
        try:
            found = parse_client_hello(data)
        except ClientHelloRefused:
            continue
        assert isinstance(found, ClientHello) or len(data) < found <= 16 * 1024


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_a_flipped_byte_never_escapes_the_grammar(at: int, value: int) -> None:
    flipped = HELLO[:at] + bytes([value]) + HELLO[at + 1 :]
    try:
        found = parse_client_hello(flipped)
    except ClientHelloRefused:
        return
    if isinstance(found, ClientHello):
        assert found.server_name == found.server_name.lower()
