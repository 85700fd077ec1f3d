from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager

import pytest
from underpass_tests_kept import KeptTunnel

from underpass.api.discovery import survey
from underpass.api.errors import NameAmbiguous
from underpass.api.server import ApiServer
from underpass.model.errors_run import DaemonUnreachable, LooseMode, NoSuchTunnel


def leave_stale_socket(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.close()


@contextmanager
def silent_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        yield


async def test_every_open_tunnel_is_found_in_order_of_names(runtime):
    tools, web = KeptTunnel("tools"), KeptTunnel("web")
    async with (
        ApiServer(runtime / "open-web-2.sock", {"web": web}),
        ApiServer(runtime / "open-tools-1.sock", {"tools": tools}),
    ):
        seen = await asyncio.to_thread(survey, runtime)
    assert [(found.name, found.socket.name) for found in seen.found] == [
        ("tools", "open-tools-1.sock"),
        ("web", "open-web-2.sock"),
    ]
    assert (seen.stale, seen.silent) == ([], [])


def test_a_socket_whose_process_is_gone_is_stale_and_stays(runtime):
    path = runtime / "open-tools-4711.sock"
    leave_stale_socket(path)
    seen = survey(runtime)
    assert seen.stale == [path]
    assert path.exists()


def test_a_process_that_does_not_answer_is_silent_and_costs_its_time_once(runtime):
    paths = [runtime / f"open-{name}-1.sock" for name in ("one", "two", "three")]
    with silent_socket(paths[0]), silent_socket(paths[1]), silent_socket(paths[2]):
        seen = survey(runtime, seconds=0.1)
    assert seen.silent == sorted(paths)


def test_a_missing_directory_and_other_files_are_no_tunnels(runtime):
    (runtime / "notes.txt").touch()
    (runtime / "open-.sock").touch()
    assert survey(runtime).found == []
    assert survey(runtime / "absent").found == []


def test_a_directory_that_others_may_enter_is_not_read(runtime):
    runtime.chmod(0o777)
    with pytest.raises(LooseMode):
        survey(runtime)


async def test_a_tunnel_is_picked_by_name_or_by_url(runtime):
    tunnel = KeptTunnel("tools")
    tunnel.go_live()
    async with ApiServer(runtime / "open-tools-1.sock", {"tools": tunnel}):
        seen = await asyncio.to_thread(survey, runtime)
    assert seen.pick("tools") is seen.found[0]
    assert seen.pick("https://tools.relay.example.com") is seen.found[0]
    with pytest.raises(NoSuchTunnel):
        seen.pick("other")


async def test_two_tunnels_of_one_name_must_be_told_apart_by_url(runtime):
    here, there = KeptTunnel("tools"), KeptTunnel("tools", url="https://tools.example.org")
    here.go_live()
    there.go_live()
    async with (
        ApiServer(runtime / "open-tools-1.sock", {"tools": here}),
        ApiServer(runtime / "open-tools-2.sock", {"tools": there}),
    ):
        seen = await asyncio.to_thread(survey, runtime)
    with pytest.raises(NameAmbiguous) as caught:
        seen.pick("tools")
    assert "https://tools.example.org" in caught.value.message
    assert seen.pick("https://tools.example.org").socket.name == "open-tools-2.sock"


def test_a_name_that_a_silent_process_may_keep_is_not_called_absent(runtime):
    with silent_socket(runtime / "open-tools-1.sock"):
        seen = survey(runtime, seconds=0.1)
    with pytest.raises(DaemonUnreachable):
        seen.pick("tools")


def test_no_socket_at_all_means_no_such_tunnel(runtime):
    leave_stale_socket(runtime / f"open-tools-{os.getpid()}.sock")
    with pytest.raises(NoSuchTunnel):
        survey(runtime).pick("tools")


async def test_a_mistyped_name_is_told_with_the_open_one_that_was_meant(runtime):
    async with ApiServer(runtime / "open-tools-1.sock", {"tools": KeptTunnel("tools")}):
        seen = await asyncio.to_thread(survey, runtime)
    with pytest.raises(NoSuchTunnel) as caught:
        seen.pick("tool")
    assert caught.value.near == "tools"
