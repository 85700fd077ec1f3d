from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from underpass_tests_kept import NOON, KeptTunnel, verdict

from underpass.api.client import Call
from underpass.api.errors import Answered, ApiMisspoken
from underpass.api.places import socket_path
from underpass.api.server import ApiServer
from underpass.model.errors_run import DaemonUnreachable, ForeignOwner, LooseMode
from underpass.model.verdict import Layer


def ask(path: Path, method: str, target: str, body: dict[str, object] | None = None):
    with Call(path, method, target, body) as call:
        return call.answer()


async def test_a_tunnel_is_shown_with_its_verdict(runtime):
    tunnel = KeptTunnel()
    tunnel.go_live()
    path = socket_path(runtime, "tools", os.getpid())
    async with ApiServer(path, {"tools": tunnel}):
        shown = await asyncio.to_thread(ask, path, "GET", "/v1/tunnels/tools")
    assert shown == {"schema": "underpass/v1/tunnel", **tunnel.status().to_dict()}
    assert shown["tunnel"]["url"] == "https://tools.relay.example.com"
    assert shown["verdict"]["ok"] is True


async def test_all_tunnels_are_listed_without_a_url_before_the_first_proof(runtime):
    path = runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": KeptTunnel()}):
        listed = await asyncio.to_thread(ask, path, "GET", "/v1/tunnels")
    assert listed["schema"] == "underpass/v1/tunnels"
    assert [(t["name"], t["state"], t["url"]) for t in listed["tunnels"]] == [
        ("tools", "proving", None)
    ]


async def test_the_socket_is_for_the_owner_alone_and_goes_with_the_server(runtime):
    path = runtime / "api" / "open-tools-1.sock"
    async with ApiServer(path, {}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_peer_of_another_user_is_cut_off_before_it_is_read(runtime, monkeypatch):
    monkeypatch.setattr("underpass.api.peers.peer_uid", lambda sock: os.getuid() + 1)
    path = runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": KeptTunnel()}):
        with pytest.raises((ApiMisspoken, DaemonUnreachable)):
            await asyncio.to_thread(ask, path, "GET", "/v1/tunnels")


async def test_a_directory_that_others_may_enter_is_refused(runtime):
    runtime.chmod(0o755)
    with pytest.raises(LooseMode) as caught:
        await ApiServer(runtime / "open-tools-1.sock", {}).start()
    assert caught.value.path == str(runtime)
    assert caught.value.hint == f"chmod 0700 {runtime}"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a directory away")
async def test_a_directory_of_another_user_is_refused(runtime):
    os.chown(runtime, 12345, 12345)
    with pytest.raises(ForeignOwner):
        await ApiServer(runtime / "open-tools-1.sock", {}).start()


async def test_prove_answers_with_the_new_verdict(runtime):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"
    tunnel.next_verdict = verdict(failed=Layer.ORIGIN)
    async with ApiServer(path, {"tools": tunnel}):
        proved = await asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/prove")
    assert proved["tunnel"]["state"] == "failing"
    assert (proved["verdict"]["ok"], proved["verdict"]["layer"]) == (False, "origin")


async def test_renew_moves_the_end_of_the_lease(runtime):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": tunnel}):
        body = {"seconds": 7200}
        renewed = await asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/renew", body)
    assert renewed["tunnel"]["lease"]["ends_at"] == NOON + 7200


async def test_a_refusal_arrives_with_its_code_hint_and_exit_code(runtime):
    path = runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": KeptTunnel()}):
        with pytest.raises(Answered) as caught:
            await asyncio.to_thread(
                ask, path, "POST", "/v1/tunnels/tools/renew", {"seconds": 1_000_000}
            )
    assert caught.value.code == "lease-expired"
    assert caught.value.exit_code == 4
    assert "tools" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("body", [{}, {"seconds": 0}, {"seconds": "two hours"}, {"seconds": 1e12}])
async def test_a_renewal_that_makes_no_sense_is_refused_as_misuse(runtime, body):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": tunnel}):
        with pytest.raises(Answered) as caught:
            await asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/renew", body)
    assert (caught.value.code, caught.value.exit_code) == ("request-malformed", 2)
    assert tunnel.status().lease.ends_at == NOON + 28_800


async def test_an_endless_body_is_refused_before_it_is_kept(runtime):
    path = runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": KeptTunnel()}):
        body = {"seconds": 1, "more": "x" * 100_000}
        with pytest.raises(Answered) as caught:
            await asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/renew", body)
    assert caught.value.code == "request-malformed"


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "/v1/tunnels/other", "no-such-tunnel"),
        ("POST", "/v1/tunnels/other/close", "no-such-tunnel"),
        ("GET", "/", "request-malformed"),
        ("DELETE", "/v1/tunnels", "request-malformed"),
    ],
)
async def test_what_is_not_there_is_an_error_object(runtime, method, target, code):
    path = runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": KeptTunnel()}):
        with pytest.raises(Answered) as caught:
            await asyncio.to_thread(ask, path, method, target)
    assert caught.value.code == code


async def test_a_bug_of_the_keeper_is_answered_without_its_text(runtime, monkeypatch):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"

    async def fail():
        raise ValueError("up_canary")

    monkeypatch.setattr(tunnel, "prove", fail)
    async with ApiServer(path, {"tools": tunnel}):
        with pytest.raises(Answered) as caught:
            await asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/prove")
    assert caught.value.code == "api-failed"
    assert caught.value.message == (
        "cannot answer POST /v1/tunnels/tools/prove: ValueError"
        " in the process that keeps the tunnel"
    )


async def test_close_is_answered_and_the_socket_then_ends(runtime):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"
    server = ApiServer(path, {"tools": tunnel})
    await server.start()
    asked = asyncio.create_task(asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/close"))
    await asyncio.wait_for(tunnel.closed.wait(), 5)
    await server.stop()
    assert (await asked)["tunnel"]["state"] == "closed"
    assert not path.exists()


async def test_watching_shows_the_present_then_each_change_then_ends(runtime):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"

    def watch() -> list[tuple[str, str]]:
        with Call(path, "GET", "/v1/tunnels/tools/events", seconds=5) as call:
            return [(line["event"], line["tunnel"]["state"]) for line in call.lines()]

    async with ApiServer(path, {"tools": tunnel}):
        watching = asyncio.create_task(asyncio.to_thread(watch))
        await asyncio.wait_for(tunnel.subscribed.wait(), 5)
        tunnel.go_live()
        tunnel.fail(Layer.ORIGIN)
        await tunnel.close()
        seen = await watching
    assert seen == [
        ("proving", "proving"),
        ("live", "live"),
        ("failing", "failing"),
        ("closed", "closed"),
    ]


async def test_a_watcher_that_leaves_is_forgotten(runtime):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"
    async with ApiServer(path, {"tools": tunnel}):
        call = await asyncio.to_thread(Call, path, "GET", "/v1/tunnels/tools/events")
        with call:
            await asyncio.to_thread(next, call.lines())
        await asyncio.wait_for(tunnel.released.wait(), 5)
    assert tunnel.subscribers == []


async def test_the_server_ends_although_somebody_watches_and_ends_the_stream(runtime):
    tunnel, path = KeptTunnel(), runtime / "open-tools-1.sock"
    server = ApiServer(path, {"tools": tunnel})
    await server.start()
    call = await asyncio.to_thread(Call, path, "GET", "/v1/tunnels/tools/events")
    with call:
        lines = call.lines()
        await asyncio.to_thread(next, lines)
        await asyncio.wait_for(server.stop(), 10)
        assert await asyncio.to_thread(list, lines) == []
    assert tunnel.subscribers == []


async def test_a_call_that_outlives_the_server_is_cut_without_a_word_in_the_log(
    runtime, monkeypatch, caplog
):
    monkeypatch.setattr("underpass.api.server.GRACE_SECONDS", 0)
    tunnel, path, asked = KeptTunnel(), runtime / "open-tools-1.sock", asyncio.Event()

    async def never_ends():
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(tunnel, "prove", never_ends)
    server = ApiServer(path, {"tools": tunnel})
    await server.start()
    proving = asyncio.create_task(asyncio.to_thread(ask, path, "POST", "/v1/tunnels/tools/prove"))
    await asyncio.wait_for(asked.wait(), 5)
    await asyncio.wait_for(server.stop(), 10)
    with pytest.raises((Answered, ApiMisspoken, DaemonUnreachable)):
        await proving
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_second_start_takes_the_path_of_a_dead_process_with_the_same_number(runtime):
    path = runtime / "open-tools-1.sock"
    path.touch()
    async with ApiServer(path, {"tools": KeptTunnel()}):
        assert (await asyncio.to_thread(ask, path, "GET", "/v1/tunnels"))["tunnels"]
