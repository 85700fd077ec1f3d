"""The PROXY protocol, versions 1 and 2: a trusted balancer says who the visitor really is.

Pure. The grammar is HAProxy's ``proxy-protocol.txt``; both versions are read strictly and whole.
Whether a source may speak it at all is decided by the caller: from anybody else these bytes are
an attack on every address rule.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from underpass.model.errors import PeerFault

V1_MAX: Final = 107
"""Longest version 1 line, CRLF included (section 2.1)."""
V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V2_HEADER: Final = 16
V2_MAX: Final = V2_HEADER + 2048
"""Version 2 allows 64 KiB of extras; balancers send far less than this."""
V1_SIGNATURE: Final = b"PROXY "


@dataclass(eq=False)
class ProxyHeaderRefused(PeerFault):
    """A source configured as a proxy did not begin with a valid PROXY header."""

    reason: str

    code = "proxy-header-refused"
    sentence = "cannot take the visitor from the proxy: {reason}"
    hint_text = "make the proxy send the PROXY protocol, or drop it from --proxy-protocol-from"


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """One complete header."""

    size: int
    """Bytes it takes; the visitor's own begin there."""
    source: tuple[str, int] | None
    """The visitor, or None when the proxy speaks for itself (LOCAL, UNKNOWN: health checks)."""


def parse_proxy_header(data: bytes) -> ProxyHeader | int:
    """Return the header, or how many bytes are needed in all before asking again."""
    if not data:
        return 1
    if data[: len(V2_SIGNATURE)] == V2_SIGNATURE[: len(data)]:
        return _parse_v2(data)
    if data[: len(V1_SIGNATURE)] == V1_SIGNATURE[: len(data)]:
        return _parse_v1(data)
    raise ProxyHeaderRefused("it begins with something else")


def _parse_v1(data: bytes) -> ProxyHeader | int:
    end = data.find(b"\r\n", 0, V1_MAX)
    if end < 0:
        if len(data) >= V1_MAX or b"\n" in data:
            raise ProxyHeaderRefused("its line does not end")
        return len(data) + 1
    words = data[len(V1_SIGNATURE) : end].split(b" ")
    size = end + 2
    if words[0] == b"UNKNOWN":
        return ProxyHeader(size, None)
    if len(words) != 5 or words[0] not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderRefused("its line is malformed")
    version = 4 if words[0] == b"TCP4" else 6
    source = _address(words[1], version)
    _address(words[2], version)
    _port(words[4])
    return ProxyHeader(size, (source, _port(words[3])))


def _address(text: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise ProxyHeaderRefused("its address is malformed") from None
    if address.version != version or "%" in str(address):
        raise ProxyHeaderRefused("its address is of another family")
    return str(address)


def _port(text: bytes) -> int:
    if not text.isdigit() or (len(text) > 1 and text[0:1] == b"0") or int(text) > 65535:
        raise ProxyHeaderRefused("its port is malformed")
    return int(text)


def _parse_v2(data: bytes) -> ProxyHeader | int:
    if len(data) < V2_HEADER:
        return V2_HEADER
    version, command = data[12] >> 4, data[12] & 15
    family = data[13]
    length = int.from_bytes(data[14:16], "big")
    size = V2_HEADER + length
    if version != 2 or command > 1:
        raise ProxyHeaderRefused("its version or command is unknown")
    if size > V2_MAX:
        raise ProxyHeaderRefused("it is too large")
    if len(data) < size:
        return size
    if command == 0:
        return ProxyHeader(size, None)
    body = data[V2_HEADER:size]
    if family == 0x11 and length >= 12:
        return ProxyHeader(size, (str(ipaddress.IPv4Address(body[:4])), _u16(body, 8)))
    if family == 0x21 and length >= 36:
        return ProxyHeader(size, (str(ipaddress.IPv6Address(body[:16])), _u16(body, 32)))
    raise ProxyHeaderRefused("it names no TCP visitor")


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
