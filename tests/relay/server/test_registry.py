"""What every registry must do: one suite, and below it a class for each implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from underpass.relay.protocol.records import Terms
from underpass.relay.server.registry import (
    REMEMBERED_INSTANCES,
    KeyLimits,
    KeyRecord,
    NameExists,
    NameRecord,
    PortTaken,
    Registry,
    RevisionConflict,
    TokenRecord,
)
from underpass.relay.server.sqlite_registry import open_registry

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
TERMS = Terms(kind="http", lease_end=2000.0, owner="ann", purpose="demo", allow=("10.0.0.0/8",))


def name_record(name: str = "tools", **changes: object) -> NameRecord:
    return replace(NameRecord(name=name, key=KEY, chosen=True, created_at=1.0), **changes)  # type: ignore[arg-type]


class RegistryConformance:
    """One class for all implementations; ``registry`` is fresh for each test."""

    @pytest.fixture
    async def registry(self, reopen: Callable[[], Awaitable[Registry]]) -> AsyncIterator[Registry]:
        registry = await reopen()
        yield registry
        await registry.close()

    async def test_a_key_that_was_stored_is_found_as_it_was(self, registry: Registry) -> None:
        record = KeyRecord(KEY, "laptop", 5.0, None, KeyLimits(1, 2, 3))
        await registry.put_key(record)
        assert await registry.key(KEY) == record

    async def test_a_key_that_was_never_stored_is_none(self, registry: Registry) -> None:
        assert await registry.key(KEY) is None

    async def test_storing_a_key_again_replaces_it(self, registry: Registry) -> None:
        await registry.put_key(KeyRecord(KEY, "laptop", 5.0))
        await registry.put_key(KeyRecord(KEY, "laptop", 5.0, revoked_at=9.0))
        record = await registry.key(KEY)
        assert record is not None
        assert record.revoked_at == 9.0
        assert len(await registry.keys()) == 1

    async def test_keys_come_in_the_order_of_enrolment(self, registry: Registry) -> None:
        await registry.put_key(KeyRecord(KEY, "second", 7.0))
        await registry.put_key(KeyRecord(OTHER_KEY, "first", 6.0))
        assert [key.label for key in await registry.keys()] == ["first", "second"]

    async def test_a_single_use_token_can_be_spent_once(self, registry: Registry) -> None:
        await registry.put_token(TokenRecord(b"d" * 32, uses_left=1))
        assert await registry.spend_token(b"d" * 32, 1.0)
        assert not await registry.spend_token(b"d" * 32, 1.0)

    async def test_a_token_for_many_can_be_spent_again(self, registry: Registry) -> None:
        await registry.put_token(TokenRecord(b"d" * 32, uses_left=None))
        assert [await registry.spend_token(b"d" * 32, 1.0) for _ in range(3)] == [True] * 3

    async def test_an_unknown_token_cannot_be_spent(self, registry: Registry) -> None:
        assert not await registry.spend_token(b"x" * 32, 1.0)

    async def test_an_expired_token_cannot_be_spent(self, registry: Registry) -> None:
        await registry.put_token(TokenRecord(b"d" * 32, uses_left=None, expires_at=10.0))
        assert await registry.spend_token(b"d" * 32, 9.9)
        assert not await registry.spend_token(b"d" * 32, 10.0)

    async def test_of_many_at_once_one_spends_a_single_use_token(self, registry: Registry) -> None:
        await registry.put_token(TokenRecord(b"d" * 32, uses_left=1))
        spent = await asyncio.gather(*(registry.spend_token(b"d" * 32, 1.0) for _ in range(20)))
        assert spent.count(True) == 1

    async def test_a_name_that_was_created_is_found_as_it_was(self, registry: Registry) -> None:
        record = name_record(
            epoch=1, instance=b"i" * 16, terms=TERMS, lease_end=2000.0, port=4001, past=(b"h" * 16,)
        )
        stored = await registry.create_name(record)
        assert await registry.name("tools") == stored
        assert replace(stored, revision=0) == record

    async def test_a_name_that_was_never_created_is_none(self, registry: Registry) -> None:
        assert await registry.name("tools") is None

    async def test_a_name_is_created_once(self, registry: Registry) -> None:
        await registry.create_name(name_record())
        with pytest.raises(NameExists):
            await registry.create_name(name_record(key=OTHER_KEY))
        record = await registry.name("tools")
        assert record is not None
        assert record.key == KEY

    async def test_of_many_at_once_one_creates_a_name(self, registry: Registry) -> None:
        async def claim(key: bytes) -> bool:
            try:
                await registry.create_name(name_record(key=key))
            except NameExists:
                return False
            return True

        claims = await asyncio.gather(*(claim(bytes([n]) * 32) for n in range(20)))
        assert claims.count(True) == 1

    async def test_an_update_of_what_was_read_is_stored(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record())
        updated = await registry.update_name(replace(stored, epoch=7, instance=b"i" * 16))
        assert updated.revision > stored.revision
        assert await registry.name("tools") == updated

    async def test_an_update_of_an_older_revision_is_refused(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record())
        winner = await registry.update_name(replace(stored, epoch=2))
        with pytest.raises(RevisionConflict):
            await registry.update_name(replace(stored, epoch=3))
        assert await registry.name("tools") == winner

    async def test_an_update_of_a_missing_name_is_refused(self, registry: Registry) -> None:
        with pytest.raises(RevisionConflict):
            await registry.update_name(name_record(revision=1))

    async def test_of_many_at_once_one_raises_the_epoch(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record())

        async def take(instance: bytes) -> bool:
            try:
                await registry.update_name(replace(stored, epoch=1, instance=instance))
            except RevisionConflict:
                return False
            return True

        taken = await asyncio.gather(*(take(bytes([n]) * 16) for n in range(20)))
        assert taken.count(True) == 1

    async def test_an_exposure_can_be_taken_from_a_name(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record(terms=TERMS, lease_end=9.0, port=4001))
        bare = await registry.update_name(replace(stored, terms=None, lease_end=0.0, port=None))
        assert await registry.name("tools") == bare

    async def test_two_names_never_share_a_port(self, registry: Registry) -> None:
        await registry.create_name(name_record(port=4001))
        with pytest.raises(PortTaken):
            await registry.create_name(name_record("other", port=4001))
        assert await registry.name("other") is None

    async def test_the_port_of_a_deleted_name_is_free(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record(port=4001))
        await registry.delete_name(stored)
        assert (await registry.create_name(name_record("other", port=4001))).port == 4001

    async def test_a_deleted_name_is_gone(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record(terms=TERMS))
        await registry.delete_name(stored)
        assert await registry.name("tools") is None
        assert await registry.names() == ()

    async def test_a_deletion_of_an_older_revision_is_refused(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record())
        await registry.update_name(replace(stored, epoch=1))
        with pytest.raises(RevisionConflict):
            await registry.delete_name(stored)
        assert await registry.name("tools") is not None

    async def test_names_come_in_alphabetical_order(self, registry: Registry) -> None:
        for name in ("pear", "apple", "fig"):
            await registry.create_name(name_record(name))
        assert [record.name for record in await registry.names()] == ["apple", "fig", "pear"]

    async def test_names_can_be_asked_for_by_key(self, registry: Registry) -> None:
        await registry.create_name(name_record("apple"))
        await registry.create_name(name_record("fig", key=OTHER_KEY))
        assert [record.name for record in await registry.names(OTHER_KEY)] == ["fig"]

    async def test_a_current_instance_is_found_with_its_key_only(self, registry: Registry) -> None:
        stored = await registry.create_name(name_record(instance=b"i" * 16, past=(b"h" * 16,)))
        assert await registry.find_instance(KEY, b"i" * 16) == stored
        assert await registry.find_instance(OTHER_KEY, b"i" * 16) is None
        assert await registry.find_instance(KEY, b"h" * 16) is None

    async def test_past_instances_are_bounded(self, registry: Registry) -> None:
        past = tuple(bytes([n]) * 16 for n in range(REMEMBERED_INSTANCES + 5))
        stored = await registry.create_name(name_record(past=past))
        assert stored.past == past[:REMEMBERED_INSTANCES]
        assert await registry.name("tools") == stored

    async def test_own_writes_are_no_foreign_change(self, registry: Registry) -> None:
        await registry.changed()
        await registry.create_name(name_record())
        assert not await registry.changed()

    async def test_a_write_from_elsewhere_is_noticed_once(
        self, registry: Registry, reopen: Callable[[], Awaitable[Registry]]
    ) -> None:
        await registry.changed()
        elsewhere = await reopen()
        await elsewhere.put_key(KeyRecord(KEY))
        await elsewhere.close()
        assert await registry.changed()
        assert not await registry.changed()

    async def test_everything_is_there_after_a_restart(
        self, registry: Registry, reopen: Callable[[], Awaitable[Registry]]
    ) -> None:
        await registry.put_key(KeyRecord(KEY, "laptop", 5.0))
        await registry.put_token(TokenRecord(b"d" * 32, uses_left=1))
        stored = await registry.create_name(name_record(epoch=4, terms=TERMS, port=4001))
        await registry.close()
        again = await reopen()
        assert await again.name("tools") == stored
        assert [key.label for key in await again.keys()] == ["laptop"]
        assert await again.spend_token(b"d" * 32, 1.0)
        await again.close()

    async def test_closing_twice_is_allowed(self, registry: Registry) -> None:
        await registry.close()
        await registry.close()


class TestSqliteRegistry(RegistryConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], Awaitable[Registry]]:
        async def reopen() -> Registry:
            return open_registry(tmp_path / "relay.db")

        return reopen
