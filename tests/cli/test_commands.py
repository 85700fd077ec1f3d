"""Commands about open tunnels, as processes, on tunnels served for real."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from pathlib import Path

import pytest
from underpass_tests_kept import NOON, KeptTunnel, verdict

import underpass as underpass_package
from underpass.api.server import ApiServer
from underpass.cli.commands.errors import every_error
from underpass.model.verdict import Layer


@pytest.fixture
async def tools(runtime):
    tunnel = KeptTunnel("tools")
    tunnel.go_live()
    async with ApiServer(runtime / "open-tools-1.sock", {"tools": tunnel}):
        yield tunnel


async def test_list_is_one_object_with_the_tunnels_and_their_verdicts(underpass, tools, runtime):
    done = await underpass("list", "--json")
    assert done.code == 0
    status = tools.status()
    assert done.json == {
        "schema": "underpass/v1/list",
        "tunnels": [
            {
                **status.tunnel_dict(),
                "verdict": status.verdict.to_dict(),
                "socket": str(runtime / "open-tools-1.sock"),
            }
        ],
        "stale": [],
        "silent": [],
    }
    assert done.err == ""


async def test_list_without_tunnels_says_so_and_prints_no_result(underpass):
    done = await underpass("list")
    assert (done.code, done.out, done.err) == (0, "", "no tunnel is open here\n")


async def test_list_names_stale_sockets_and_leaves_them(underpass, runtime):
    path = runtime / "open-ghost-4711.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    told = await underpass("list")
    assert told.err == (
        "no tunnel is open here\n"
        f"stale: the socket of ghost (process 4711) has nobody behind it: rm {path}\n"
    )
    assert (await underpass("list", "--json")).json["stale"] == [str(path)]
    assert path.exists()


async def test_show_tells_the_tunnel_its_verdict_and_what_the_operator_sees(underpass, tools):
    done = await underpass("show", "tools")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:3] == [
        "tools is live",
        "  url     https://tools.relay.example.com",
        "  kind    http",
    ]
    assert "    origin     passed  1 ms" in lines
    assert lines[-3:] == [
        "  relay   https://relay.example.com: TLS ends there, so its operator could read",
        "          and replay what passes, credentials included,",
        "          and is believed for visitors' addresses",
    ]


async def test_show_as_json_is_the_tunnel_object(underpass, tools):
    done = await underpass("show", "tools", "--json")
    assert done.json == {"schema": "underpass/v1/tunnel", **tools.status().to_dict()}


@pytest.mark.parametrize("word", ["show", "prove", "close", "watch"])
async def test_a_name_that_is_not_open_is_exit_code_3(underpass, word):
    done = await underpass(word, "other", "--json")
    assert done.code == 3
    assert done.json["error"]["code"] == "no-such-tunnel"


async def test_prove_passes_with_exit_code_0(underpass, tools):
    done = await underpass("prove", "https://tools.relay.example.com")
    assert done.code == 0
    assert done.out.splitlines()[:2] == [
        "tools is live",
        "  proof passed, seen from here at 2026-11-22 12:00:00 UTC",
    ]


async def test_prove_fails_with_exit_code_5_and_names_the_layer(underpass, tools):
    tools.next_verdict = verdict(failed=Layer.ORIGIN)
    done = await underpass("prove", "tools", "--json")
    assert done.code == 5
    assert done.json["verdict"]["layer"] == "origin"
    told = await underpass("prove", "tools")
    assert (told.code, told.err) == (5, "")
    assert "  proof failed (origin), seen from here" in told.out
    assert "    origin     failed        origin-refused: connection refused" in told.out


async def test_renew_moves_the_end(underpass, tools):
    done = await underpass("renew", "tools", "--for", "2h", "--json")
    assert done.json["tunnel"]["lease"]["ends_at"] == NOON + 7200
    told = await underpass("renew", "tools", "--for", "2h")
    assert told.out.startswith("tools is open until 2026-11-22 14:00:00 UTC (in ")
    assert told.out.endswith(", owner alice, for demo\n")


async def test_renew_beyond_what_is_allowed_is_refused_with_the_keeper_s_words(underpass, tools):
    done = await underpass("renew", "tools", "--for", "30d", "--json")
    assert (done.code, done.json["error"]["code"]) == (4, "lease-expired")


async def test_a_duration_that_makes_no_sense_is_told_with_its_code(underpass, tools):
    done = await underpass("renew", "tools", "--for", "soon", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "duration-invalid")


async def test_close_ends_the_tunnel_and_waits_for_its_process(underpass, runtime):
    tunnel = KeptTunnel("tools")
    tunnel.go_live()
    server = ApiServer(runtime / "open-tools-1.sock", {"tools": tunnel})
    await server.start()
    closing = asyncio.create_task(underpass("close", "tools"))
    await asyncio.wait_for(tunnel.closed.wait(), 10)
    await server.stop()
    done = await closing
    assert (done.code, done.out) == (0, "tools is closed\n")


async def test_watch_tells_each_change_until_the_tunnel_is_closed(underpass, tools):
    watching = asyncio.create_task(underpass("watch", "tools"))
    await asyncio.wait_for(tools.subscribed.wait(), 10)
    tools.fail(Layer.ORIGIN)
    tools.go_live()
    await tools.close()
    done = await watching
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "now           live           https://tools.relay.example.com\n"
        "12:00:10 UTC  failing        origin: origin-refused: connection refused\n"
        "12:00:00 UTC  live           https://tools.relay.example.com\n"
        "12:01:00 UTC  closed         asked\n"
    )


async def test_watch_as_json_is_a_line_for_each_change(underpass, tools):
    watching = asyncio.create_task(underpass("watch", "tools", "--json"))
    await asyncio.wait_for(tools.subscribed.wait(), 10)
    tools.fail(Layer.ORIGIN)
    await tools.close()
    lines = (await watching).lines
    assert [line["event"] for line in lines] == ["live", "failing", "closed"]
    assert {line["schema"] for line in lines} == {"underpass/v1/tunnel"}


async def test_watch_notices_that_the_process_was_killed(underpass, runtime):
    async def serve_half(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        target = request.split()[1]
        facts = KeptTunnel("tools").status()
        if target == b"/v1/tunnels":
            body = json.dumps({"tunnels": [facts.tunnel_dict()]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        else:
            line = json.dumps({"event": "live", **facts.to_dict()}).encode() + b"\n"
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
        await writer.drain()
        writer.close()

    path = runtime / "open-tools-1.sock"
    server = await asyncio.start_unix_server(serve_half, path)
    async with server:
        done = await underpass("watch", "tools", "--json")
    assert done.code == 6
    assert [line.get("event") for line in done.lines] == ["live", None]
    assert done.lines[-1]["error"]["code"] == "daemon-unreachable"


async def test_an_interrupted_watch_is_130(environment, tools):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", "watch", "tools"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    await asyncio.wait_for(process.stdout.readline(), 10)
    process.send_signal(2)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, err.strip()) == (130, b"")


def test_no_code_in_the_source_is_missing_from_the_table_or_stands_there_twice():
    source = Path(underpass_package.__file__).parent
    written = [
        match[1]
        for path in source.rglob("*.py")
        for match in re.finditer(r"^    code = \"([a-z-]+)\"$", path.read_text(), re.MULTILINE)
    ]
    assert sorted(error.code for error in every_error()) == sorted(written)
    assert len(written) == len(set(written))


async def test_errors_lists_every_code_and_explains_one(underpass):
    listed = await underpass("errors", "--json")
    codes = [error["code"] for error in listed.json["errors"]]
    assert codes == sorted(codes)
    assert {"name-taken", "usage", "api-misspoken", "no-such-key"} <= set(codes)
    one = await underpass("errors", "name-taken")
    assert one.out == (
        "name-taken\n"
        "  what   The chosen name belongs to another key\n"
        "  says   cannot use the name {name!r}: it belongs to another key\n"
        "  hint   choose another --name, or leave it out for a random one\n"
        "  kind   refused\n"
        "  exit   9\n"
        "  retry  no use unchanged\n"
    )
    assert (await underpass("errors", "nonsense")).code == 2
