from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.model.errors_relay import NameNotYours
from underpass.model.errors_run import NoSuchTunnel
from underpass.model.errors_spec import NameInvalid
from underpass.model.rules import check_name
from underpass.relay.protocol.records import Terms
from underpass.relay.server.names import (
    RANDOM_BYTES,
    RESERVED,
    check_chosen,
    random_name,
    release_name,
    transfer_name,
)
from underpass.relay.server.registry import NameRecord
from underpass.relay.server.sqlite_registry import SqliteRegistry, open_registry

MINE, THEIRS = b"m" * 32, b"t" * 32
TERMS = Terms(kind="http", lease_end=100.0)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[SqliteRegistry]:
    registry = open_registry(tmp_path / "relay.db")
    await registry.create_name(
        NameRecord(
            "tools", MINE, True, epoch=4, instance=b"i" * 16, terms=TERMS, lease_end=9.0, port=4001
        )
    )
    yield registry
    await registry.close()


def test_a_random_name_has_eighty_bits() -> None:
    assert RANDOM_BYTES * 8 >= 80
    assert random_name(lambda count: b"\x00" * count) == "a" * 16
    assert random_name(lambda count: b"\xff" * count) == "7" * 16


def test_random_names_are_dns_labels() -> None:
    for _ in range(1000):
        name = random_name(secrets.token_bytes)
        assert re.fullmatch("[a-z2-7]{16}", name)
        check_name(name)


def test_random_names_differ() -> None:
    assert len({random_name(secrets.token_bytes) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["tools", "a-b", "123", "x" * 63])
def test_a_label_may_be_chosen(name: str) -> None:
    check_chosen(name)


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 64, "-abc", "abc-", "a.b", "Tools", "a_b", "xn--abc", "tööls", "a b c"]
)
def test_what_is_no_label_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        check_chosen(name)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_labels_with_a_meaning_of_their_own_are_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        check_chosen(name)


async def test_a_released_name_is_free(registry: SqliteRegistry) -> None:
    await release_name(registry, "tools", MINE)
    assert await registry.name("tools") is None


async def test_the_operator_releases_any_name(registry: SqliteRegistry) -> None:
    await release_name(registry, "tools")
    assert await registry.name("tools") is None


async def test_a_stranger_releases_nothing(registry: SqliteRegistry) -> None:
    with pytest.raises(NameNotYours):
        await release_name(registry, "tools", THEIRS)
    assert await registry.name("tools") is not None


async def test_a_name_that_is_not_there_cannot_be_released(registry: SqliteRegistry) -> None:
    with pytest.raises(NoSuchTunnel):
        await release_name(registry, "none")


async def test_a_transferred_name_keeps_its_epoch_and_loses_its_tunnel(
    registry: SqliteRegistry,
) -> None:
    record = await transfer_name(registry, "tools", THEIRS, MINE)
    assert (record.key, record.epoch, record.port) == (THEIRS, 4, 4001)
    assert (record.instance, record.past, record.terms) == (b"", (b"i" * 16,), None)
    assert await registry.name("tools") == record


async def test_a_stranger_transfers_nothing(registry: SqliteRegistry) -> None:
    with pytest.raises(NameNotYours):
        await transfer_name(registry, "tools", THEIRS, THEIRS)


async def test_a_transfer_to_its_owner_changes_nothing(registry: SqliteRegistry) -> None:
    before = await registry.name("tools")
    assert await transfer_name(registry, "tools", MINE) == before
