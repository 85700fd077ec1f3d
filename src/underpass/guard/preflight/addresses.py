"""Addresses that hand out a machine's credentials to whoever connects: cloud metadata services.

Judged after resolution, whatever the name was: the address is the evidence, since nothing else is
ever served there. All of IPv4's link-local network counts, where every large cloud puts such
services and where no service of one's own is found.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from underpass.guard.preflight.findings import ELSEWHERE, Finding

METADATA: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # AWS, Google, Azure, Oracle, DigitalOcean, Scaleway, ECS and EKS
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure's WireServer
        "192.0.0.192/32",  # Oracle Cloud Classic
        "fd00:ec2::/32",  # AWS over IPv6, ECS and EKS too
        "fd20:ce::254/128",  # Google Cloud over IPv6
        "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud over IPv6
        "fd00:42::42/128",  # Scaleway over IPv6
    )
)

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")


@lru_cache(maxsize=256)
# Asked before every connection to the origin, which has an address or two.
def is_metadata(address: str) -> bool:
    """Whether a connection to ``address`` would meet a metadata service."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = _inner(parsed) if isinstance(parsed, ipaddress.IPv6Address) else None
    return any(each in network for network in METADATA for each in (parsed, inner or parsed))


def metadata_finding(address: str) -> Finding:
    """What is said of it."""
    return Finding(
        "metadata-service",
        "a cloud's metadata service, which hands out this machine's credentials",
        f"connect {address}",
        f"the address {address}",
        ELSEWHERE,
    )


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour if address in _SIX_TO_FOUR else None
