"""`list` and its kin find a tunnel from another terminal, for people and for programs."""

from __future__ import annotations

import json
import time

import pytest
from tests.e2e.stage import Stage, Tunnel
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin


@pytest.fixture
async def tunnel(stage: Stage, origin: HttpOrigin) -> Tunnel:
    return await stage.open(str(origin.port), "--name", "tools", "--owner", "ann")


async def test_list_and_show_tell_what_open_told(stage: Stage, tunnel: Tunnel):
    told = tunnel.first
    listed = await stage.run("list", "--json")
    (socket,) = stage.runtime.glob("open-tools-*.sock")
    verdict = listed.json["tunnels"][0]["verdict"]
    assert verdict["ok"] is True
    assert listed.json == {
        "schema": "underpass/v1/list",
        "tunnels": [{**told["tunnel"], "verdict": verdict, "socket": str(socket)}],
        "stale": [],
        "silent": [],
    }
    shown = await stage.run("show", "tools", "--json")
    assert list(shown.json) == ["schema", "tunnel", "verdict", "meter"]
    assert shown.json["schema"] == "underpass/v1/tunnel"
    assert shown.json["tunnel"] == told["tunnel"]
    by_url = await stage.run("show", tunnel.url, "--json")
    assert by_url.json["tunnel"] == told["tunnel"]


async def test_people_read_a_table_and_a_page(stage: Stage, tunnel: Tunnel):
    head, row = (await stage.run("list")).out.splitlines()
    assert head.split() == ["NAME", "STATE", "KIND", "URL", "GATES", "ENDS", "IN", "OWNER"]
    assert row.split() == ["tools", "live", "http", tunnel.url, "bearer", "7h59m", "ann"]
    page = (await stage.run("show", "tools")).out.splitlines()
    assert page[0] == "tools is live"
    assert page[-1] == "  relay   in this process: nobody else sees what passes"


async def test_prove_runs_now_and_its_exit_code_says_how_it_went(
    stage: Stage, tunnel: Tunnel, origin: HttpOrigin
):
    good = await stage.run("prove", "tools", "--json")
    assert (good.code, good.json["verdict"]["ok"], good.json["verdict"]["layer"]) == (0, True, None)
    words = await stage.run("prove", "tools")
    assert words.out.startswith("tools is live\n  proof passed, seen from here at ")
    await origin.stop()
    bad = await stage.run("prove", "tools", "--json")
    assert (bad.code, bad.json["verdict"]["layer"]) == (5, "origin")
    assert bad.json["verdict"]["layers"]["origin"]["status"] == "failed"
    assert bad.json["tunnel"]["state"] == "failing"
    told = await tunnel.event("failing")
    assert (told["tunnel"]["state"], told["verdict"]["layer"]) == ("failing", "origin")
    await origin.start()
    again = await stage.run("prove", "tools", "--json")
    assert (again.code, again.json["tunnel"]["state"]) == (0, "live")
    assert (await tunnel.event("live"))["tunnel"] == tunnel.first["tunnel"]


async def test_renew_moves_the_end_and_everybody_hears_of_it(stage: Stage, tunnel: Tunnel):
    watcher = await stage.start("watch", "tools", "--json")
    first = json.loads(await watcher.next_line())
    assert first["tunnel"] == tunnel.first["tunnel"]
    before = time.time()
    renewed = await stage.run("renew", "tools", "--for", "2h", "--json")
    ends_at = renewed.json["tunnel"]["lease"]["ends_at"]
    assert before + 7200 <= ends_at <= time.time() + 7200
    told = await tunnel.event("lease-renewed")
    assert told["ends_at"] == told["tunnel"]["lease"]["ends_at"] == ends_at
    assert await watcher.event("lease-renewed") == told
    words = await stage.run("renew", "tools", "--for", "3h")
    assert words.out.startswith("tools is open until ")
    assert words.out.endswith(" (in 2h59m), owner ann\n")
    closed = await stage.run("close", "tools", "--json")
    assert (closed.code, closed.json["tunnel"]["state"]) == (0, "closed")
    assert (await watcher.event("closed"))["tunnel"]["state"] == "closed"
    assert (await watcher.ended()).code == 0


async def test_close_ends_the_other_process_with_0_and_leaves_nothing(stage: Stage, tunnel: Tunnel):
    watcher = await stage.start("watch", "tools")
    assert "live" in await watcher.next_line()
    done = await stage.run("close", "tools")
    assert (done.code, done.out) == (0, "tools is closed\n")
    with pytest.raises(OSError):
        await get(tunnel.url)
    ended = await tunnel.ended()
    assert ended.code == 0
    last = ended.lines[-1]
    assert (last["event"], last["reason"]) == ("closed", "closed")
    seen = await watcher.ended()
    assert seen.code == 0
    assert seen.out.splitlines()[-1].split()[-2:] == ["closed", "closed"]
    assert await stage.leftovers() == []


@pytest.mark.parametrize(
    "words",
    [("show",), ("prove",), ("close",), ("watch",), ("renew", "--for", "2h")],
    ids=lambda words: words[0],
)
async def test_a_tunnel_that_is_not_open_is_exit_code_3(stage: Stage, words: tuple[str, ...]):
    done = await stage.run(words[0], "missing", *words[1:], "--json")
    assert done.code == 3
    assert done.json == {
        "error": {
            "code": "no-such-tunnel",
            "message": "cannot find a tunnel named 'missing'",
            "hint": "see what is open: underpass list",
            "retryable": False,
        }
    }


async def test_nothing_open_is_no_error(stage: Stage):
    assert (await stage.run("list")).err == "no tunnel is open here\n"
    empty = {"schema": "underpass/v1/list", "tunnels": [], "stale": [], "silent": []}
    assert (await stage.run("list", "--json")).json == empty
