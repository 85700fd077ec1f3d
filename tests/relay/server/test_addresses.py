from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from underpass.model.options import RelayOptions
from underpass.relay.protocol.records import Terms
from underpass.relay.server.addresses import addresses_of, check_options
from underpass.relay.server.errors import RelayMisconfigured
from underpass.relay.server.registry import NameRecord

PEM = {"tls_cert": Path("c"), "tls_key": Path("k")}


def options(**settings: Any) -> RelayOptions:
    return RelayOptions(**{"state_dir": Path("s"), "listen": ("127.0.0.1", 0), **settings})


def record(port: int | None = None, **terms: Any) -> NameRecord:
    kind = {"kind": "http", "lease_end": 1.0, **terms}
    return NameRecord("tools", b"k" * 32, True, port=port, terms=Terms(**kind))


DEV = addresses_of(options(dev=True), 8800)
PUBLIC = addresses_of(options(domain="Relay.example.com", listen=("0.0.0.0", 443), **PEM), 443)
ODD_PORT = addresses_of(options(domain="relay.example.com", listen=("::", 8443), **PEM), 8443)
FRONTED = addresses_of(
    options(domain="relay.example.com", listen=("::", 8443), proxy_protocol_from=("::1",), **PEM),
    8443,
)


@pytest.mark.parametrize(
    ("addresses", "url"),
    [
        (DEV, "http://127.0.0.1:8800"),
        (PUBLIC, "https://relay.example.com"),
        (ODD_PORT, "https://relay.example.com:8443"),
        (FRONTED, "https://relay.example.com"),
    ],
)
def test_the_relays_own_url(addresses: Any, url: str) -> None:
    assert addresses.relay_url == url


@pytest.mark.parametrize(
    ("addresses", "tunnel", "url"),
    [
        (DEV, record(4001), "http://127.0.0.1:4001"),
        (DEV, record(4001, kind="mcp"), "http://127.0.0.1:4001"),
        (DEV, record(4001, kind="tcp", exposure="open"), "tcp://127.0.0.1:4001"),
        (DEV, record(4001, kind="tcp"), ""),
        (PUBLIC, record(), "https://tools.relay.example.com"),
        (PUBLIC, record(tls="passthrough"), "https://tools.relay.example.com"),
        (ODD_PORT, record(), "https://tools.relay.example.com:8443"),
        (FRONTED, record(), "https://tools.relay.example.com"),
        (PUBLIC, record(4001, kind="tcp", exposure="open"), "tcp://relay.example.com:4001"),
        (PUBLIC, record(None, kind="tcp"), ""),
        (PUBLIC, NameRecord("tools", b"k" * 32, True), ""),
    ],
)
def test_where_visitors_of_a_tunnel_come(addresses: Any, tunnel: NameRecord, url: str) -> None:
    assert addresses.tunnel_url(tunnel) == url


@pytest.mark.parametrize(
    "settings",
    [
        {"dev": True},
        {"dev": True, "listen": ("::1", 0)},
        {"domain": "relay.example.com", "listen": ("0.0.0.0", 443), **PEM},
        {"domain": "relay.example.com", "front_fingerprints": ("ab",)},
    ],
)
def test_what_fits_together_is_served(settings: dict[str, Any]) -> None:
    check_options(options(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"dev": True, "listen": ("0.0.0.0", 0)},
        {"dev": True, "listen": ("relay.example.com", 0)},
        {},
        {"domain": "relay.example.com"},
        {"domain": "relay.example.com", "tls_cert": Path("c")},
        {
            "domain": "relay.example.com",
            "listen": ("0.0.0.0", 80),
            "front_fingerprints": ("ab",),
        },
    ],
)
def test_what_does_not_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(RelayMisconfigured):
        check_options(options(**settings))
