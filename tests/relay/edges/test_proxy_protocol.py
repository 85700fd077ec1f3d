"""The PROXY protocol's two versions, read strictly."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.edges.proxy_protocol import (
    V2_SIGNATURE,
    ProxyHeader,
    ProxyHeaderRefused,
    parse_proxy_header,
)

pytestmark = pytest.mark.pure

V4 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n"
V6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"


def version2(command: int, family: int, body: bytes) -> bytes:
    return V2_SIGNATURE + bytes([0x20 | command, family]) + len(body).to_bytes(2, "big") + body


def addresses(source: str, port: int = 4711) -> bytes:
    packed = ipaddress.ip_address(source).packed
    return packed + packed + port.to_bytes(2, "big") + (443).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("raw", "source"),
    [
        (V4, ("203.0.113.7", 4711)),
        (V6, ("2001:db8::7", 4711)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (version2(1, 0x11, addresses("203.0.113.7")), ("203.0.113.7", 4711)),
        (version2(1, 0x21, addresses("2001:db8::7")), ("2001:db8::7", 4711)),
        (version2(1, 0x11, addresses("203.0.113.7") + b"\x04\0\x02ab"), ("203.0.113.7", 4711)),
        (version2(0, 0x00, b""), None),
        (version2(0, 0x11, addresses("203.0.113.7")), None),
    ],
)
def test_a_header_names_the_visitor_and_its_own_size(raw: bytes, source: object) -> None:
    assert parse_proxy_header(raw + b"GET /") == ProxyHeader(len(raw), source)
    for size in range(len(raw)):
        needed = parse_proxy_header(raw[:size])
        assert isinstance(needed, int)
        assert size < needed <= len(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443 1\r\n",
        b"PROXY  TCP4 203.0.113.7 198.51.100.1 4711 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
        b"PROXY TCP4 203.0.113.07 198.51.100.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 04711 443\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 -1 443\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 65536 443\r\n",
        b"PROXY UDP4 203.0.113.7 198.51.100.1 1 443\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\n",
        b"PROXY TCP4 " + b"1" * 200,
        version2(2, 0x11, addresses("203.0.113.7")),
        version2(1, 0x12, addresses("203.0.113.7")),
        version2(1, 0x11, addresses("203.0.113.7")[:-1]),
        version2(1, 0x31, bytes(216)),
        V2_SIGNATURE + b"\x11\x11\0\0",
        V2_SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_not_exactly_a_header_is_refused(raw: bytes) -> None:
    with pytest.raises(ProxyHeaderRefused) as caught:
        parse_proxy_header(raw)
    assert caught.value.message.startswith("cannot take")


@given(st.binary(max_size=120))
def test_no_bytes_do_anything_but_parse_wait_or_fail(raw: bytes) -> None:
    for data in (raw, b"PROXY TCP4 " + raw, V2_SIGNATURE + raw):
        try:
            found = parse_proxy_header(data)
        except ProxyHeaderRefused:
            continue
        assert isinstance(found, ProxyHeader) or found > len(data)
