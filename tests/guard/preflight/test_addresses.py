"""Metadata services are known by their address, however it is written."""

from __future__ import annotations

import pytest

from underpass.guard.preflight.addresses import is_metadata, metadata_finding

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"),
    ],
)
def test_a_metadata_service_is_one(address: str):
    assert is_metadata(address)
    assert metadata_finding(address).code == "metadata-service"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "100.100.100.201", "fe80::1%lo", "fd00::1"],
)
def test_other_addresses_are_none(address: str):
    assert not is_metadata(address)
