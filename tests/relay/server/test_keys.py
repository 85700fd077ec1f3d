from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.guard.secrets import hash_token, read_secret
from underpass.model.errors_relay import KeyRevoked
from underpass.model.errors_run import LooseMode
from underpass.relay.protocol.refusals import EnrolmentRefused
from underpass.relay.server.errors import AuthorisedKeysWrong, KeyNotFound
from underpass.relay.server.key_text import fingerprint, key_text
from underpass.relay.server.keys import (
    Keys,
    ensure_token_file,
    find_key,
    new_enrolment_token,
    revoke_key,
)
from underpass.relay.server.registry import KeyLimits, KeyRecord, TokenRecord
from underpass.relay.server.sqlite_registry import SqliteRegistry, open_registry

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
LIMITS = KeyLimits(names=7, ports=2, streams=99)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[SqliteRegistry]:
    registry = open_registry(tmp_path / "relay.db")
    yield registry
    await registry.close()


def keys_of(registry: SqliteRegistry, authorised: Path | None = None, now: float = 100.0) -> Keys:
    return Keys(registry, lambda: now, limits=LIMITS, authorised=authorised)


async def test_an_unknown_key_is_not_good(registry: SqliteRegistry) -> None:
    keys = keys_of(registry)
    await keys.load()
    assert keys.find(KEY) is None
    assert not keys.is_good(KEY)


async def test_a_token_enrols_a_key_with_the_relays_limits(registry: SqliteRegistry) -> None:
    keys = keys_of(registry)
    token = await new_enrolment_token(registry)
    record = await keys.enrol(KEY, token.reveal(), "laptop")
    assert record == KeyRecord(KEY, "laptop", 100.0, None, LIMITS)
    assert keys.is_good(KEY)
    assert await registry.key(KEY) == record


async def test_a_single_use_token_enrols_one_key(registry: SqliteRegistry) -> None:
    keys = keys_of(registry)
    token = (await new_enrolment_token(registry)).reveal()
    await keys.enrol(KEY, token)
    with pytest.raises(EnrolmentRefused):
        await keys.enrol(OTHER_KEY, token)
    assert not keys.is_good(OTHER_KEY)


async def test_an_expired_token_enrols_nobody(registry: SqliteRegistry) -> None:
    token = await new_enrolment_token(registry, expires_at=50.0)
    with pytest.raises(EnrolmentRefused):
        await keys_of(registry).enrol(KEY, token.reveal())


@pytest.mark.parametrize("token", ["", "up_", "x" * 46, "up_" + "é" * 43, "up_" + "a" * 43])
async def test_what_is_no_token_enrols_nobody(registry: SqliteRegistry, token: str) -> None:
    with pytest.raises(EnrolmentRefused) as caught:
        await keys_of(registry).enrol(KEY, token)
    assert not token or token not in caught.value.message


async def test_enrolling_again_spends_nothing(registry: SqliteRegistry) -> None:
    keys = keys_of(registry)
    token = (await new_enrolment_token(registry, uses=2)).reveal()
    await keys.enrol(KEY, token)
    await keys.enrol(KEY, token)
    await keys.enrol(OTHER_KEY, token)
    assert keys.is_good(OTHER_KEY)


async def test_a_token_does_not_undo_a_revocation(registry: SqliteRegistry) -> None:
    keys = keys_of(registry)
    token = (await new_enrolment_token(registry, uses=None)).reveal()
    await keys.enrol(KEY, token)
    await revoke_key(registry, fingerprint(KEY), 200.0)
    await keys.load()
    with pytest.raises(KeyRevoked):
        await keys.enrol(KEY, token)


async def test_the_registry_never_holds_a_token(registry: SqliteRegistry, tmp_path: Path) -> None:
    token = (await new_enrolment_token(registry)).reveal()
    await keys_of(registry).enrol(KEY, token)
    await registry.close()
    for file in os.listdir(tmp_path):
        assert token.encode() not in (tmp_path / file).read_bytes()


async def test_revocation_is_seen_after_loading(registry: SqliteRegistry) -> None:
    keys = keys_of(registry)
    await registry.put_key(KeyRecord(KEY))
    await keys.load()
    assert keys.is_good(KEY)
    await revoke_key(registry, key_text(KEY), 200.0)
    await keys.load()
    assert not keys.is_good(KEY)
    record = keys.find(KEY)
    assert record is not None
    assert record.revoked_at == 200.0


async def test_revoking_twice_keeps_the_first_time(registry: SqliteRegistry) -> None:
    await registry.put_key(KeyRecord(KEY))
    await revoke_key(registry, fingerprint(KEY), 200.0)
    assert (await revoke_key(registry, fingerprint(KEY), 300.0)).revoked_at == 200.0


async def test_a_key_is_found_by_the_start_of_its_fingerprint(registry: SqliteRegistry) -> None:
    await registry.put_key(KeyRecord(KEY))
    await registry.put_key(KeyRecord(OTHER_KEY))
    assert (await find_key(registry, fingerprint(KEY)[:16])).public == KEY


@pytest.mark.parametrize("text", ["SHA256:", "SHA256:abc", "ed25519:abc", "", "SHA256:zzzzzzzzzz"])
async def test_a_text_that_names_no_key_is_said_so(registry: SqliteRegistry, text: str) -> None:
    await registry.put_key(KeyRecord(KEY))
    with pytest.raises(KeyNotFound):
        await find_key(registry, text)


class TestAuthorisedKeys:
    async def test_a_key_of_the_file_is_good(
        self, registry: SqliteRegistry, tmp_path: Path
    ) -> None:
        path = tmp_path / "authorised"
        path.write_text(f"# ours\n\n{key_text(KEY)} names=3 the build machine\n")
        keys = keys_of(registry, path)
        await keys.load()
        record = keys.find(KEY)
        assert record is not None
        assert (record.label, record.limits) == ("the build machine", KeyLimits(3, 2, 99))

    async def test_a_change_of_the_file_is_noticed(
        self, registry: SqliteRegistry, tmp_path: Path
    ) -> None:
        path = tmp_path / "authorised"
        path.write_text(key_text(KEY))
        keys = keys_of(registry, path)
        await keys.load()
        assert not keys.file_changed()
        path.write_text("# nobody\n")
        os.utime(path, (1, 1))
        assert keys.file_changed()
        await keys.load()
        assert not keys.is_good(KEY)
        assert not keys.file_changed()

    async def test_revocation_wins_over_the_file(
        self, registry: SqliteRegistry, tmp_path: Path
    ) -> None:
        path = tmp_path / "authorised"
        path.write_text(key_text(KEY))
        await revoke_key(registry, key_text(KEY), 200.0)
        keys = keys_of(registry, path)
        await keys.load()
        assert not keys.is_good(KEY)

    async def test_after_a_mistake_what_was_read_before_holds(
        self, registry: SqliteRegistry, tmp_path: Path
    ) -> None:
        path = tmp_path / "authorised"
        path.write_text(key_text(KEY))
        keys = keys_of(registry, path)
        await keys.load()
        path.write_text("ssh-rsa AAAA\n")
        with pytest.raises(AuthorisedKeysWrong):
            await keys.load()
        assert keys.is_good(KEY)


class TestTokenFile:
    async def test_it_is_made_private(self, registry: SqliteRegistry, tmp_path: Path) -> None:
        path = tmp_path / "enrol-token"
        await ensure_token_file(registry, path)
        assert path.stat().st_mode & 0o777 == 0o600

    async def test_it_enrols_many(self, registry: SqliteRegistry, tmp_path: Path) -> None:
        path = tmp_path / "enrol-token"
        await ensure_token_file(registry, path)
        keys = keys_of(registry)
        for key in (KEY, OTHER_KEY):
            await keys.enrol(key, read_secret(path).reveal())
            assert keys.is_good(key)

    async def test_it_stays_after_a_restart(self, registry: SqliteRegistry, tmp_path: Path) -> None:
        path = tmp_path / "enrol-token"
        await ensure_token_file(registry, path)
        before = path.read_bytes()
        await ensure_token_file(registry, path)
        assert path.read_bytes() == before

    async def test_one_that_others_can_read_is_refused(
        self, registry: SqliteRegistry, tmp_path: Path
    ) -> None:
        path = tmp_path / "enrol-token"
        await ensure_token_file(registry, path)
        path.chmod(0o644)
        with pytest.raises(LooseMode):
            await ensure_token_file(registry, path)

    async def test_storing_the_digest_again_changes_no_other_token(
        self, registry: SqliteRegistry, tmp_path: Path
    ) -> None:
        await registry.put_token(TokenRecord(hash_token("up_" + "a" * 43), 1))
        await ensure_token_file(registry, tmp_path / "enrol-token")
        assert await registry.spend_token(hash_token("up_" + "a" * 43), 1.0)
        assert not await registry.spend_token(hash_token("up_" + "a" * 43), 1.0)
