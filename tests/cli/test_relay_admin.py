"""``relay keys`` and ``relay names``, on a real relay's database."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from underpass.cli.main import main
from underpass.relay.server.key_text import fingerprint, key_text
from underpass.relay.server.registry import KeyRecord, NameRecord
from underpass.relay.server.sqlite_registry import open_registry

ALICE, BOB = bytes(range(32)), bytes(range(32, 64))
ENROLLED = 1_795_348_800.0


@pytest.fixture
def state(tmp_path, at_home):
    directory = tmp_path / "relay"
    directory.mkdir(mode=0o700)

    async def fill() -> None:
        registry = open_registry(directory / "relay.db")
        await registry.put_key(KeyRecord(ALICE, "alice@laptop", ENROLLED))
        await registry.put_key(KeyRecord(BOB, "", ENROLLED + 60))
        await registry.create_name(NameRecord("tools", ALICE, True, ENROLLED, port=20001))
        await registry.close()

    asyncio.run(fill())
    return directory


@pytest.fixture
def relay(state, capsys):
    def run(*words: str):
        code = main(["relay", *words, "--state", str(state)])
        told = capsys.readouterr()
        return code, told.out or told.err

    return run


def test_keys_are_listed_with_their_names(relay):
    assert relay("keys", "list") == (
        0,
        f"{'KEY'.ljust(50)}  LABEL         NAMES  ENROLLED                 REVOKED\n"
        f"{fingerprint(ALICE)}  alice@laptop  1      2026-11-22 12:00:00 UTC  -\n"
        f"{fingerprint(BOB)}  -             0      2026-11-22 12:01:00 UTC  -\n",
    )


def test_keys_are_listed_as_json(relay):
    code, out = relay("keys", "list", "--json")
    listed = json.loads(out)
    assert (code, listed["schema"]) == (0, "underpass/v1/relay-keys")
    assert listed["keys"][0] == {
        "key": key_text(ALICE),
        "fingerprint": fingerprint(ALICE),
        "label": "alice@laptop",
        "enrolled_at": ENROLLED,
        "revoked_at": None,
        "names": 1,
    }


@pytest.mark.parametrize(
    "named", [key_text(ALICE), fingerprint(ALICE), fingerprint(ALICE)[:14], "alice@laptop"]
)
def test_a_key_is_revoked_by_any_of_its_names(relay, named):
    code, out = relay("keys", "revoke", named)
    assert (code, out) == (0, f"{fingerprint(ALICE)} is revoked\n")
    keys = json.loads(relay("keys", "list", "--json")[1])["keys"]
    assert [key["revoked_at"] is not None for key in keys] == [True, False]


def test_revoking_twice_keeps_the_first_moment(relay):
    first = json.loads(relay("keys", "revoke", "alice@laptop", "--json")[1])
    assert json.loads(relay("keys", "revoke", "alice@laptop", "--json")[1]) == first


def test_a_key_that_is_not_enrolled_is_not_found(relay):
    code, out = relay("keys", "revoke", "SHA256:nobody", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "no-such-key")


def test_names_are_listed_with_their_owners(relay):
    assert relay("names", "list") == (
        0,
        f"NAME   {'KEY'.ljust(50)}  EPOCH  PORT   LEASE ENDS\n"
        f"tools  {fingerprint(ALICE)}  0      20001  -\n",
    )


def test_a_released_name_is_free(relay):
    assert relay("names", "release", "tools") == (0, "tools is released\n")
    assert relay("names", "list") == (0, "no name is taken\n")
    code, _ = relay("names", "release", "tools")
    assert code == 3


def test_a_transferred_name_belongs_to_the_other_key(relay):
    code, out = relay("names", "transfer", "tools", "--to", fingerprint(BOB))
    assert (code, out) == (0, f"tools belongs to {fingerprint(BOB)}\n")
    listed = json.loads(relay("names", "list", "--json")[1])["names"]
    assert [(name["name"], name["key"]) for name in listed] == [("tools", fingerprint(BOB))]


def test_a_directory_without_a_relay_is_told_and_nothing_is_made(tmp_path, at_home, capsys):
    assert main(["relay", "keys", "list", "--state", str(tmp_path / "absent")]) == 1
    assert "error[no-relay-here]" in capsys.readouterr().err
    assert not os.path.exists(tmp_path / "absent")


def test_a_database_that_others_can_reach_is_refused(state, relay):
    state.chmod(0o755)
    code, err = relay("names", "list")
    assert (code, "error[loose-mode]" in err) == (1, True)
