"""``underpass prove --trust``: which paths open because the peer looked local, and what to do."""

from __future__ import annotations

from tests.e2e.stage import Stage
from tests.prove.loopback_apps import any_loopback_peer, own_host, serve


async def test_a_sound_tunnel_is_told_path_by_path(stage: Stage) -> None:
    async with serve(any_loopback_peer) as port:
        await stage.open(str(port), "--name", "tools")
        done = await stage.run("prove", "tools", "--trust", "--path", "/", "--path", "/admin")
    assert done.code == 0
    first, *paths = done.out.splitlines()
    assert first.startswith("tools: its origin sees visitors come from ")
    assert paths == [
        "  /       open to whoever asks",
        "  /admin  open to this machine only; visitors are kept out (it trusts the peer's address)",
    ]


async def test_a_path_that_opens_by_trust_fails_and_says_the_cure(stage: Stage) -> None:
    async with serve(any_loopback_peer) as port:
        await stage.open(str(port), "--name", "tools", "--peer", "loopback")
        done = await stage.run("prove", "tools", "--trust", "--path", "/admin")
        told = await stage.run("prove", "tools", "--trust", "--path", "/admin", "--json")
    assert done.code == told.code == 5
    assert done.out.splitlines()[-1] == "open it anew with --peer machine"
    (object_,) = told.lines
    assert list(object_) == [
        *("schema", "tunnel", "ok", "peer", "source", "host_header", "paths"),
    ]
    assert (object_["schema"], object_["ok"]) == ("underpass/v1/trust", False)
    assert object_["paths"][0]["finding"] == "opened-by-trust"
    assert object_["paths"][0]["status"] == {
        "local": 200,
        "local-peer": 200,
        "local-host": 401,
        "stranger": 401,
        "visitor": 200,
        "claimant": 200,
    }


async def test_an_origin_that_trusts_its_own_name_is_found(stage: Stage) -> None:
    async with serve(own_host) as port:
        await stage.open(str(port), "--name", "tools", "--host-header", "origin")
        done = await stage.run("prove", "tools", "--trust", "--path", "/admin")
    assert done.code == 5
    assert done.out.splitlines()[-1].startswith("open it anew with --host-header preserve")


async def test_what_makes_no_sense_is_told(stage: Stage) -> None:
    async with serve(own_host) as port:
        await stage.open(str(port), "--name", "tools")
        assert (await stage.run("prove", "tools", "--path", "/")).code == 2
        odd = await stage.run("prove", "tools", "--trust", "--path", "admin", "--json")
    assert odd.lines[0]["error"]["code"] == "request-malformed"
