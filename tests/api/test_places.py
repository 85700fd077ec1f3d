from __future__ import annotations

import os
from pathlib import Path

import pytest

from underpass.api.errors import SocketPathTooLong
from underpass.api.places import (
    PATH_LIMIT,
    SocketName,
    read_socket_name,
    runtime_dir,
    socket_path,
    state_dir,
)


def test_the_variable_names_the_directory_itself():
    assert runtime_dir({"UNDERPASS_RUNTIME_DIR": "/r", "XDG_RUNTIME_DIR": "/x"}) == Path("/r")
    assert state_dir({"UNDERPASS_STATE_DIR": "/s"}) == Path("/s")


def test_without_it_the_session_s_directory_is_used():
    assert runtime_dir({"XDG_RUNTIME_DIR": "/run/user/7"}) == Path("/run/user/7/underpass")


def test_without_a_session_a_directory_is_found_in_silence(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert runtime_dir({}).name == "underpass"


def test_a_socket_s_name_says_tunnel_and_process():
    path = socket_path(Path("/r"), "my-tools", 4711)
    assert path == Path("/r/open-my-tools-4711.sock")
    assert read_socket_name(path) == SocketName("my-tools", 4711)
    assert read_socket_name(Path("/r/daemon.sock")) is None


def test_a_long_name_is_cut_and_stays_unique():
    directory = Path("/run/user/1000/underpass/" + "d" * 30)
    one, two = (socket_path(directory, "n" * 60 + end, 4_194_304) for end in ("a", "b"))
    assert one != two
    assert max(len(os.fsencode(path)) for path in (one, two)) <= PATH_LIMIT


def test_a_directory_too_deep_for_any_socket_is_an_error_with_a_way_out():
    with pytest.raises(SocketPathTooLong) as caught:
        socket_path(Path("/" + "d" * 100), "tools", 1)
    assert caught.value.hint == "set UNDERPASS_RUNTIME_DIR to a shorter path"
