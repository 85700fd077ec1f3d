"""Secrets that do not show themselves, and the files they rest in."""

from __future__ import annotations

import json
import os
import pickle
import socket
import stat
import threading
from pathlib import Path

import pytest

from underpass.guard.errors import SecretUnreadable, SecretUnwritable
from underpass.guard.private_files import MAX_FILE_BYTES
from underpass.guard.secrets import (
    Secret,
    hash_token,
    is_token,
    new_token,
    private_directory,
    read_private,
    read_secret,
    write_private,
    write_secret,
)
from underpass.model.errors import UnderpassError
from underpass.model.errors_run import ForeignOwner, LooseMode, NotAPlainFile


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    write_secret(path, Secret("hunter2-hunter2"))
    return path


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>20}",
        "{}".format(secret),  # noqa: UP032
        repr([secret]),
    ]
    assert "hunter2" not in "".join(shown)
    assert (repr(secret), str(secret)) == ("Secret(hidden)", "[hidden]")
    for dump in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            dump(secret)
    assert secret.reveal() == "hunter2"


def test_secrets_are_equal_by_value() -> None:
    assert Secret("é") == Secret("é")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_tokens_are_fresh_and_of_our_form() -> None:
    tokens = {new_token().reveal() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(is_token(token) for token in tokens)
    assert not any(is_token(text) for text in ("", "up_", "up_" + "a" * 42, "xx_" + "a" * 43))
    assert hash_token("up_x") == hash_token(b"up_x")
    assert len(hash_token("up_x")) == 32


def test_a_written_secret_is_ours_alone_and_reads_back(kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert read_secret(kept) == Secret("hunter2-hunter2")
    assert [path.name for path in kept.parent.iterdir()] == ["token"]


def test_the_mode_is_right_under_any_umask(tmp_path: Path) -> None:
    for umask in (0o000, 0o777):
        before = os.umask(umask)
        try:
            write_private(tmp_path / "key", b"1")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_writing_replaces_a_loose_file_by_a_tight_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o666)
    write_secret(path, Secret("new"))
    assert read_secret(path).reveal() == "new"


def test_of_two_processes_that_make_a_key_one_wins(tmp_path: Path) -> None:
    path, won = tmp_path / "key", []

    def make(number: int) -> None:
        try:
            write_private(path, b"%d" % number, replace=False)
        except FileExistsError:
            return
        won.append(b"%d" % number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [read_private(path)]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o601, 0o610, 0o777])
def test_a_loose_mode_is_refused_naming_file_and_mode(kept: Path, mode: int) -> None:
    kept.chmod(mode)
    with pytest.raises(LooseMode) as caught:
        read_secret(kept)
    assert caught.value.to_dict() == {
        "code": "loose-mode",
        "message": f"cannot trust {kept}: its mode {mode:04o} lets others in",
        "hint": f"chmod 0600 {kept}",
        "retryable": False,
    }
    assert "hunter2" not in repr(caught.value)


def test_a_foreign_owner_is_refused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    # Only root can give files away, so the reader becomes somebody else instead.
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    for act in (read_secret, lambda path: private_directory(path.parent)):
        with pytest.raises(ForeignOwner) as caught:
            act(kept)
        assert caught.value.code == "foreign-owner"
        assert f"belongs to user id {owner}" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_given_to_somebody_else_is_refused(kept: Path) -> None:
    os.chown(kept, 12345, -1)
    with pytest.raises(ForeignOwner, match="12345"):
        read_secret(kept)


def test_a_symbolic_link_is_followed_neither_way(kept: Path) -> None:
    link = kept.with_name("link")
    link.symlink_to(kept)
    for act in (read_secret, lambda path: write_secret(path, Secret("x"))):
        with pytest.raises(NotAPlainFile, match="a symbolic link") as caught:
            act(link)
        assert caught.value.code == "not-a-plain-file"
    assert read_secret(kept).reveal() == "hunter2-hunter2"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    door = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        for path in (pipe, door, tmp_path, Path("/dev/null")):
            with pytest.raises(NotAPlainFile):
                read_private(path)
    with pytest.raises(NotAPlainFile, match="a directory"):
        write_private(tmp_path, b"x")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"a\nb\n", "more than one line"),
        (b"\xff\xfe", "not text"),
        (b"x" * (MAX_FILE_BYTES + 1), "larger than 65536 bytes"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "token"
    write_private(path, data)
    with pytest.raises(SecretUnreadable, match=why) as caught:
        read_secret(path)
    assert caught.value.code == "secret-unreadable"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretUnreadable) as caught:
        read_secret(tmp_path / "none")
    assert str(caught.value) == (
        f"cannot read a secret from {tmp_path / 'none'}: no such file or directory"
    )


def test_a_secret_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SecretUnwritable) as caught:
        write_secret(tmp_path / "no" / "token", Secret("hunter2"))
    assert caught.value.code == "secret-unwritable"
    assert "hunter2" not in f"{caught.value}{caught.value!r}"
    assert list(tmp_path.iterdir()) == []


def test_a_private_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    path = private_directory(tmp_path / "a" / "b")
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o700, 0o700]
    assert private_directory(path) == path


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o1777])
def test_a_directory_that_others_enter_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(LooseMode, match=f"mode {mode:04o}") as caught:
        private_directory(path)
    assert caught.value.hint == f"chmod 0700 {path}"


def test_a_directory_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o600)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link", "lost"):
        with pytest.raises(UnderpassError) as caught:
            private_directory(tmp_path / name)
        assert caught.value.code == "not-a-plain-file"
    with pytest.raises(SecretUnwritable):
        private_directory(tmp_path / "file" / "below")
