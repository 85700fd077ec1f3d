from __future__ import annotations

from pathlib import Path

import pytest

from underpass.relay.server.authorised_keys import (
    LARGEST_FILE,
    parse_authorised_keys,
    read_authorised_keys,
)
from underpass.relay.server.errors import AuthorisedKeysWrong
from underpass.relay.server.key_text import fingerprint, key_text, parse_key
from underpass.relay.server.registry import KeyLimits, KeyRecord

KEY = bytes(range(32))
LINE = key_text(KEY)
LIMITS = KeyLimits(1, 2, 3)


def parse(text: str) -> dict[bytes, KeyRecord]:
    return parse_authorised_keys(text, LIMITS, "keys")


def test_a_key_is_written_as_base64url() -> None:
    assert LINE == "ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def test_a_key_round_trips() -> None:
    assert parse_key(LINE) == KEY


def test_a_fingerprint_is_written_as_openssh_writes_it() -> None:
    assert fingerprint(KEY) == "SHA256:Yw3NKWbEM2aRElRIu7JbT/QSpJxzLbLIq8G4WBvXEN0"


def test_a_bare_key_gets_the_usual_limits() -> None:
    assert parse(LINE) == {KEY: KeyRecord(KEY, limits=LIMITS)}


def test_limits_and_a_label_follow_the_key() -> None:
    found = parse(f"{LINE} names=9 streams=8 Ann's laptop = old")
    assert found[KEY] == KeyRecord(KEY, "Ann's laptop = old", limits=KeyLimits(9, 2, 8))


def test_comments_and_empty_lines_say_nothing() -> None:
    assert parse("\n  # hello\n\t\n") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ssh-ed25519 AAAA", "a key begins with ed25519:"),
        ("ed25519:AAAA", "the key has 3 bytes instead of 32"),
        ("ed25519:!!!", "the key is not base64url"),
        ("ed25519:é", "the key is not base64url"),
        (f"{LINE} name=1", "name is no limit; limits are names, ports and streams"),
        (f"{LINE} names=", "names needs a number"),
        (f"{LINE} names=-1", "names needs a number"),
        (f"{LINE} names=٣", "names needs a number"),
        (f"{LINE} names=9999999999", "names needs a number"),
        (f"{LINE}\n{LINE}", "the key stands here twice"),
    ],
)
def test_a_wrong_line_is_named_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(AuthorisedKeysWrong) as caught:
        parse("# first\n" + text)
    assert caught.value.line == 1 + len(text.splitlines())
    assert caught.value.reason == reason


def test_the_error_is_pinned_whole() -> None:
    with pytest.raises(AuthorisedKeysWrong) as caught:
        parse("nonsense")
    assert caught.value.message == "cannot read line 1 of keys: a key begins with ed25519:"


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(AuthorisedKeysWrong):
        read_authorised_keys(path, LIMITS)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(AuthorisedKeysWrong):
        read_authorised_keys(path, LIMITS)
