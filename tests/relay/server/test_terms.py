from __future__ import annotations

import msgspec
import pytest

from underpass.relay.protocol.records import Terms
from underpass.relay.server.terms import MOST_CIDRS, flaw_of

GOOD = Terms(
    kind="http",
    lease_end=1.0,
    gates=b"g" * 32,
    allow=("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"),
    owner="ann",
    purpose="demo",
)


def test_honest_terms_have_no_flaw() -> None:
    assert flaw_of(GOOD) == ""


@pytest.mark.parametrize("kind", ["http", "mcp", "tcp"])
def test_each_kind_is_known(kind: str) -> None:
    assert flaw_of(Terms(kind=kind, lease_end=1.0)) == ""


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({"kind": "ftp"}, "the kind is none of http, mcp and tcp"),
        ({"tls": "maybe"}, "tls is neither terminate nor passthrough"),
        ({"exposure": "wide"}, "the exposure is neither gated nor open"),
        ({"kind": "tcp", "tls": "passthrough"}, "a tcp tunnel has no tls to pass through"),
        ({"gates": b"short"}, "the hash of the gates is not a SHA-256"),
        ({"owner": "x" * 201}, "owner or purpose is too long"),
        ({"purpose": "x" * 201}, "owner or purpose is too long"),
        ({"allow": ("10.0.0.1/8",)}, "an address range is no CIDR"),
        ({"allow": ("010.0.0.1",)}, "an address range is no CIDR"),
        ({"allow": ("example.com",)}, "an address range is no CIDR"),
        ({"allow": ("10.0.0.1",) * (MOST_CIDRS + 1)}, "more than 256 address ranges"),
    ],
)
def test_a_flaw_is_named(change: dict[str, object], flaw: str) -> None:
    assert flaw_of(msgspec.structs.replace(GOOD, **change)) == flaw
